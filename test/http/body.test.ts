import { EventEmitter, once } from 'node:events'
import { open, writeFile } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Growing, OpenBlob } from '../../src/blobs/blob-store.ts'
import { createBlobSender } from '../../src/http/body.ts'
import { createBufferPool } from '../../src/http/buffers.ts'
import type { ByteRange } from '../../src/oci/range.ts'
import { fetchBlob } from '../support/fetch-blob.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const bytes = pseudoRandomBytes(3_000_000, 'body')

interface Sent extends AsyncDisposable {
  url: string
  port: number
  broken: unknown[]
  /** Resolves when a socket has been without activity for so many times the patience with a stalled client. */
  idle(times: number): Promise<void>
}

/** A server that answers everything with the blob that `blobOf` opens. */
async function serve(
  blobOf: (file: string) => Promise<OpenBlob>,
  {
    ranges,
    stalledMs,
    poolBytes = 4 * 1024 * 1024,
  }: { ranges?: ByteRange[]; stalledMs?: number; poolBytes?: number } = {},
): Promise<Sent> {
  const folder = await temporaryDirectory()
  const file = join(folder.path, 'blob')
  await writeFile(file, bytes)
  const broken: unknown[] = []
  const sender = createBlobSender({
    pool: createBufferPool(poolBytes),
    onBroken: (error) => broken.push(error),
    stalledMs,
  })
  const activity = new EventEmitter()
  const server = createServer(async (_, outgoing: ServerResponse) => {
    outgoing.on('timeout', () => activity.emit('idle'))
    const gone = new AbortController()
    outgoing.once('close', () => outgoing.writableFinished || gone.abort(new Error('left')))
    await sender.send(outgoing, await blobOf(file), { headers: {}, ranges }, gone.signal)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/`,
    port,
    broken,
    async idle(times) {
      for (let time = 0; time < times; time++) await once(activity, 'idle')
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await folder[Symbol.asyncDispose]()
    },
  }
}

const stored = async (file: string): Promise<OpenBlob> => ({
  kind: 'file',
  handle: await open(file),
  size: bytes.length,
})

test('a stored blob goes out whole, through buffers that are far smaller', async () => {
  await using site = await serve(stored, { poolBytes: 128 * 1024 })
  const answers = await Promise.all([1, 2, 3].map(() => fetchBlob(site.url, { keep: true })))
  for (const { complete, body } of answers) expect([complete, body.equals(bytes)]).toEqual([true, true])
})

test('a range is cut out of it, and several make a multipart body', async () => {
  await using one = await serve(stored, { ranges: [{ start: 1_000_000, end: 2_500_001 }] })
  const single = await fetchBlob(one.url, { keep: true })
  expect([single.status, single.headers['content-range']]).toEqual([206, 'bytes 1000000-2500000/3000000'])
  expect(single.body.equals(bytes.subarray(1_000_000, 2_500_001))).toBe(true)

  const ranges = [
    { start: 0, end: 10 },
    { start: 2_999_990, end: 3_000_000 },
  ]
  await using many = await serve(stored, { ranges })
  const { status, headers, body, complete } = await fetchBlob(many.url, { keep: true })
  expect([status, complete]).toEqual([206, true])
  const boundary = /^multipart\/byteranges; boundary=(.+)$/.exec(String(headers['content-type']))?.[1]
  const parts = body.toString('latin1').split(`--${boundary}`)
  expect(parts.at(-1)).toBe('--\r\n')
  const found = parts.slice(1, -1).map((part) => {
    const [head = '', ...rest] = part.split('\r\n\r\n')
    return [/content-range: (.*)/.exec(head)?.[1], rest.join('\r\n\r\n').slice(0, -2)]
  })
  expect(found).toEqual(
    ranges.map(({ start, end }) => [
      `bytes ${start}-${end - 1}/3000000`,
      bytes.subarray(start, end).toString('latin1'),
    ]),
  )
})

test('a file that is shorter than it should be ends in a cut connection', async () => {
  await using site = await serve(async (file) => ({
    kind: 'file',
    handle: await open(file),
    size: bytes.length + 1,
  }))
  const { complete, bytes: got } = await fetchBlob(site.url)
  expect([complete, got <= bytes.length]).toEqual([false, true])
  expect(String(site.broken[0])).toContain('ended')
})

test('a client that takes no byte is cut, one that is given none is not', async () => {
  const big = 64 * 1024 * 1024
  await using site = await serve(
    async (file) => {
      await (await open(file, 'r+')).truncate(big)
      return { kind: 'file', handle: await open(file), size: big }
    },
    { stalledMs: 100 },
  )
  const stalled = connect(site.port, '127.0.0.1')
  stalled.pause().write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await expect.poll(() => String(site.broken[0]), { timeout: 10_000 }).toContain('took no byte')
  stalled.destroy()

  const more = Promise.withResolvers<number>()
  await using slow = await serve(
    async (file) => {
      const handle = await open(file)
      const growing: Growing = {
        readableFrom: () => more.promise,
        read: async (buffer, length, position) => (await handle.read(buffer, 0, length, position)).bytesRead,
        release: () => void handle.close(),
      }
      return { kind: 'growing', growing, size: bytes.length }
    },
    { stalledMs: 20 },
  )
  const waiting = fetchBlob(slow.url)
  await slow.idle(3)
  more.resolve(bytes.length)
  expect((await waiting).complete).toBe(true)
  expect(slow.broken).toEqual([])
})
