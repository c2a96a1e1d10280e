import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { errorCodeOf } from '../flow/error-code.ts'
import { messageOf } from '../flow/message-of.ts'
import { type Commands, commandNames } from './commands.ts'
import type { AnswerLine } from './socket.ts'

/** What kept a command from its answer, in one line. */
export class AdminError extends Error {
  override readonly name = 'AdminError'
  /** Nobody listens there. */
  readonly isNobody: boolean

  constructor(message: string, options: { cause?: unknown; isNobody?: boolean } = {}) {
    super(message, { cause: options.cause })
    this.isNobody = options.isNobody ?? false
  }
}

/** A node that says nothing for so long hangs. */
const silenceMs = 15_000

/** The commands of the node that listens at `socket`. All of them throw {@link AdminError}. */
export function commandsAt(socket: string): Commands {
  const entries = commandNames.map((name) => [
    name,
    (request: unknown, signal: AbortSignal) => ask(socket, name, request, signal),
  ])
  return Object.fromEntries(entries)
}

/** Whether somebody listens at `socket`. @throws AdminError when this user may not know */
export async function isListening(socket: string): Promise<boolean> {
  const connection = connect(socket)
  try {
    await once(connection, 'connect')
    return true
  } catch (cause) {
    const error = adminErrorOf(cause, socket)
    if (error.isNobody) return false
    throw error
  } finally {
    connection.destroy()
  }
}

async function* ask(
  socketPath: string,
  name: string,
  what: unknown,
  signal: AbortSignal,
): AsyncGenerator<unknown> {
  const asked = request({ socketPath, method: 'POST', path: `/${name}`, timeout: silenceMs, signal })
  let silence: AdminError | undefined
  asked.on('timeout', () => {
    silence = new AdminError(`the node says nothing for ${silenceMs / 1000} s`)
    asked.destroy(silence)
  })
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    asked.once('response', resolve).on('error', reject)
  })
  asked.end(JSON.stringify(what))
  try {
    for await (const text of linesOf(await answered)) {
      const line: AnswerLine = JSON.parse(text)
      if ('error' in line) throw new AdminError(line.error)
      if ('end' in line) return
      if ('value' in line) yield line.value
    }
  } catch (error) {
    signal.throwIfAborted()
    throw silence ?? adminErrorOf(error, socketPath)
  } finally {
    asked.destroy()
  }
  throw new AdminError('the node ended before its answer did')
}

async function* linesOf(answer: IncomingMessage): AsyncGenerator<string> {
  let rest = ''
  for await (const chunk of answer.setEncoding('utf8')) {
    const lines = `${rest}${chunk}`.split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
}

function adminErrorOf(cause: unknown, socket: string): AdminError {
  if (cause instanceof AdminError) return cause
  const code = errorCodeOf(cause)
  if (code === 'ENOENT' || code === 'ECONNREFUSED')
    return new AdminError(`no node runs on this data: nobody listens at ${socket}`, { cause, isNobody: true })
  if (code === 'EACCES' || code === 'EPERM')
    return new AdminError(`${socket} is for the user that the node runs as, and for nobody else`, { cause })
  return new AdminError(`${socket}: ${messageOf(cause)}`, { cause })
}
