import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** The answers that a door is at. */
export interface Traffic {
  /** To be called when an answer begins. */
  note(connection: Socket, answer: ServerResponse): void
  /** The door is being closed, and no answer had begun over the connection before that. */
  isLate(connection: Socket): boolean
  /**
   * From now on every answer tells its client to come back over another connection. Settles when none is under way, or
   * when `signal` ends.
   */
  drain(signal: AbortSignal): Promise<void>
}

export function createTraffic(): Traffic {
  const known = new WeakSet<Socket>()
  const underWay = new Set<ServerResponse>()
  const quiet = Promise.withResolvers<void>()
  let draining = false

  return {
    note(connection, answer) {
      if (draining) answer.setHeader('connection', 'close')
      else known.add(connection)
      // Clients that come again and again to be refused do not keep the door open.
      if (!known.has(connection)) return
      underWay.add(answer)
      answer.once('close', () => {
        underWay.delete(answer)
        if (draining && underWay.size === 0) quiet.resolve()
      })
    },
    isLate: (connection) => draining && !known.has(connection),
    async drain(signal) {
      draining = true
      if (underWay.size === 0 || signal.aborted) return
      signal.addEventListener('abort', () => quiet.resolve(), { once: true })
      await quiet.promise
    },
  }
}
