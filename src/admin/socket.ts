import { once } from 'node:events'
import { chmod, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Commands } from './commands.ts'

/** Beside the data, for this user alone. */
export const socketName = 'admin.sock'

/** A line of an answer: a part of what was asked for, that it takes time, why there is no more, or that this was all. */
export type AnswerLine<Value = unknown> =
  | { value: Value }
  | { busy: true }
  | { error: string }
  | { end: true }

const busyMs = 5_000

/**
 * Answers commands at a socket in the file system, with an {@link AnswerLine} of JSON after the other.
 * @param file made anew: whoever owns the data directory owns it
 * @throws when it cannot be had, in one line
 */
export async function openAdminSocket(file: string, commands: Commands): Promise<AsyncDisposable> {
  const server = createServer((request, response) => void answer(commands, request, response))
  await rm(file, { force: true })
  try {
    const listening = once(server, 'listening')
    server.listen(file)
    await listening
    await chmod(file, 0o600)
  } catch (cause) {
    server.close()
    throw new Error(`cannot listen on ${file}: ${cause instanceof Error ? cause.message : cause}`, { cause })
  }
  return {
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

async function answer(commands: Commands, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const gone = new AbortController()
  response.once('close', () => gone.abort(new Error('the caller left')))
  async function say(line: AnswerLine): Promise<void> {
    const isFull = !response.write(`${JSON.stringify(line)}\n`)
    if (isFull) await once(response, 'drain', { signal: gone.signal })
  }
  const busy = setInterval(() => response.write(`${JSON.stringify({ busy: true })}\n`), busyMs)
  try {
    const values = valuesOf(commands, `${request.method} ${request.url}`, gone.signal)
    response.writeHead(values ? 200 : 404, { 'content-type': 'application/x-ndjson' }).flushHeaders()
    for await (const value of values ?? []) await say({ value })
    await say(values ? { end: true } : { error: 'this node does not know that command' })
  } catch (error) {
    if (gone.signal.aborted) return
    await say({ error: error instanceof Error ? error.message : String(error) }).catch(() => {})
  } finally {
    clearInterval(busy)
    response.end()
  }
}

function valuesOf(commands: Commands, what: string, signal: AbortSignal): AsyncIterable<unknown> | undefined {
  if (what === 'GET /status') return one(commands.status())
  if (what === 'GET /images') return commands.images(signal)
  if (what === 'POST /fsck') return commands.fsck(false, signal)
  if (what === 'POST /fsck?repair') return commands.fsck(true, signal)
  return undefined
}

async function* one(value: Promise<unknown>): AsyncGenerator<unknown> {
  yield await value
}
