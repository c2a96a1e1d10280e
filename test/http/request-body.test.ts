import { once } from 'node:events'
import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, expect, test, vi } from 'vitest'
import { readBody, receive } from '../../src/http/request-body.ts'

const never = new AbortController().signal

afterEach(() => vi.useRealTimers())

/** A request whose body `send` writes, as the server sees it. */
async function incoming(send: (body: ReturnType<typeof request>) => void) {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const sent = request({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', method: 'PUT' })
  sent.on('error', () => {})
  send(sent)
  const [message] = (await once(server, 'request')) as [IncomingMessage]
  return {
    message,
    [Symbol.dispose]() {
      sent.destroy()
      server.closeAllConnections()
      server.close()
    },
  }
}

test('the next piece waits for what is done with the one before', async () => {
  using one = await incoming((body) => body.end(Buffer.alloc(3_000_000, 'x')))
  let [length, busy, most] = [0, 0, 0]
  await receive(
    one.message,
    async (piece) => {
      busy += 1
      most = Math.max(most, busy)
      length += piece.length
      await delay(1)
      busy -= 1
    },
    never,
  )
  expect([length, most]).toEqual([3_000_000, 1])
})

test('what is done with a piece may fail, and the connection is left for an answer', async () => {
  using one = await incoming((body) => body.end(Buffer.alloc(300_000)))
  const full = async () => {
    throw new Error('full')
  }
  await expect(receive(one.message, full, never)).rejects.toThrow('full')
  expect(one.message.destroyed).toBe(false)
})

test('a client that leaves, and a signal, end it', async () => {
  using one = await incoming((body) => {
    body.write('half')
    setTimeout(() => body.destroy(), 50)
  })
  await expect(receive(one.message, () => undefined, never)).rejects.toThrow('the client left')

  using other = await incoming((body) => void body.write('half'))
  const stop = new AbortController()
  const received = receive(other.message, () => undefined, stop.signal)
  stop.abort(new Error('enough'))
  await expect(received).rejects.toThrow('enough')
})

test.each([
  ['next to nothing', 0],
  ['less than 1 KiB/s', 60 * 1023],
])('a body that brings %s for a minute is given up', async (_, bytes) => {
  using one = await incoming((body) => void body.write(Buffer.alloc(bytes + 1)))
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  let received = 0
  const take = (piece: Buffer) => {
    received += piece.length
    return undefined
  }
  const taken = receive(one.message, take, never)
  const refused = expect(taken).rejects.toMatchObject({ code: 'BODY_STALLED', status: 408 })
  await expect.poll(() => received).toBe(bytes + 1)
  await vi.advanceTimersByTimeAsync(60_000)
  await refused
})

test('a body that is slow enough to be one, or has to wait for us, is not', async () => {
  const minute = 60 * 1024
  const bodies: ReturnType<typeof request>[] = []
  using one = await incoming((body) => {
    body.write(Buffer.alloc(minute))
    bodies.push(body)
  })
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  let received = 0
  const { promise: disk, resolve: written } = Promise.withResolvers<void>()
  const take = (piece: Buffer) => {
    received += piece.length
    return received > minute ? disk : undefined
  }
  const taken = receive(one.message, take, never)
  await expect.poll(() => received).toBe(minute)
  await vi.advanceTimersByTimeAsync(60_000)
  bodies[0]?.write('x')
  await expect.poll(() => received).toBe(minute + 1)
  await vi.advanceTimersByTimeAsync(180_000)
  written()
  bodies[0]?.end()
  await taken
})

test('a whole body is taken up to its bound', async () => {
  using right = await incoming((body) => body.end('four'))
  expect((await readBody(right.message, 4, never)).toString()).toBe('four')
  using long = await incoming((body) => body.end('fives'))
  await expect(readBody(long.message, 4, never)).rejects.toMatchObject({ code: 'TOO_LARGE', status: 413 })
  using unknown = await incoming((body) => {
    body.write('fiv')
    body.end('es')
  })
  await expect(readBody(unknown.message, 4, never)).rejects.toMatchObject({ code: 'TOO_LARGE' })
})
