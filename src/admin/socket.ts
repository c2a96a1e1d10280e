import { once } from 'node:events'
import { chmod, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { json } from 'node:stream/consumers'
import { messageOf } from '../flow/message-of.ts'
import { type Commands, commandNames } from './commands.ts'

/** Beside the data, for this user alone. */
export const socketName = 'admin.sock'

/** A line of an answer: a part of what was asked for, that it takes time, why there is no more, or that this was all. */
export type AnswerLine = { value: unknown } | { busy: true } | { error: string } | { end: true }

const busyMs = 5_000

/**
 * Answers commands at a socket in the file system, with an {@link AnswerLine} of JSON after the other.
 * @param file made anew: whoever owns the data directory owns it
 * @throws when it cannot be had, in one line
 */
export async function openAdminSocket(
  file: string,
  commands: Commands,
  /** Of those that there are. */
  onAsked?: (command: string) => void,
): Promise<AsyncDisposable> {
  const server = createServer((request, response) => {
    void answer(commands, request, response, onAsked)
  })
  await rm(file, { force: true })
  try {
    const listening = once(server, 'listening')
    server.listen(file)
    await listening
    await chmod(file, 0o600)
  } catch (cause) {
    server.close()
    throw new Error(`cannot listen on ${file}: ${messageOf(cause)}`, { cause })
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

async function answer(
  commands: Commands,
  request: IncomingMessage,
  response: ServerResponse,
  onAsked?: (command: string) => void,
): Promise<void> {
  const gone = new AbortController()
  response.once('close', () => gone.abort(new Error('the caller left')))
  async function say(line: AnswerLine): Promise<void> {
    const isFull = !response.write(`${JSON.stringify(line)}\n`)
    if (isFull) await once(response, 'drain', { signal: gone.signal })
  }
  const busy = setInterval(() => response.write(`${JSON.stringify({ busy: true })}\n`), busyMs)
  try {
    const name = commandNames.find((each) => request.url === `/${each}`)
    response.writeHead(name ? 200 : 404, { 'content-type': 'application/x-ndjson' }).flushHeaders()
    if (!name) return await say({ error: 'this node does not know that command' })
    onAsked?.(name)
    const command: (request: never, signal: AbortSignal) => AsyncIterable<unknown> = commands[name]
    for await (const value of command((await json(request)) as never, gone.signal)) await say({ value })
    await say({ end: true })
  } catch (error) {
    if (gone.signal.aborted) return
    await say({ error: messageOf(error) }).catch(() => {})
  } finally {
    clearInterval(busy)
    response.end()
  }
}
