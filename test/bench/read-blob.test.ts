import { once } from 'node:events'
import { createServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { readBlob, stallOn } from '../../bench/support/read-blob.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { type FaultEffects, startUpstream, type Upstream } from '../support/upstream.ts'

const blob = pseudoRandomBytes(1_000_000, 'read-blob')
const { signal } = new AbortController()

async function serve(effects?: FaultEffects): Promise<{ upstream: Upstream; url: string }> {
  const upstream = await startUpstream()
  onTestFinished(() => upstream[Symbol.asyncDispose]())
  const url = `${upstream.url}/v2/lib/app/blobs/${upstream.addBlob('lib/app', blob)}`
  if (effects) upstream.fault({ on: { kind: 'blob' }, ...effects })
  return { upstream, url }
}

test('a blob that comes as it is, is complete and right', async () => {
  const { url } = await serve()

  const read = await readBlob(url, { blob }, signal)

  expect(read).toMatchObject({ status: 200, bytes: blob.length, complete: true, right: true })
  expect(read.firstByteMs).toBeLessThanOrEqual(read.ms)
})

test('one other byte is noticed, wherever it is', async () => {
  for (const flipAt of [0, 500_000, blob.length - 1]) {
    const { url } = await serve({ flipAt })

    expect(await readBlob(url, { blob }, signal)).toMatchObject({ complete: false, right: false })
  }
})

test('a blob that is cut is right as far as it came, but not complete', async () => {
  const { url } = await serve({ truncateAt: 400_000 })

  const read = await readBlob(url, { blob }, signal)

  expect(read).toMatchObject({ bytes: 400_000, complete: false, right: true })
})

test('a range is compared with its place, and looked for in the whole when that is what comes', async () => {
  const range = { first: 700_000, last: 799_999 }
  for (const [effects, status] of [
    [undefined, 206],
    [{ ignoreRange: true }, 200],
  ] as const) {
    const { url } = await serve(effects)

    const read = await readBlob(url, { blob, range }, signal)

    expect(read).toMatchObject({ status, complete: true, right: true })
    expect(read.bytes).toBeGreaterThanOrEqual(100_000)
  }
})

test('a range from another place than asked for is noticed', async () => {
  const { url } = await serve({ contentRange: 'bytes 600000-699999/1000000' })

  const read = await readBlob(url, { blob, range: { first: 700_000, last: 799_999 } }, signal)

  expect(read).toMatchObject({ complete: false, right: false })
})

test('who leaves early has what it wanted, and no status is an answer too', async () => {
  const { upstream, url } = await serve({ stallAt: 600_000 })

  expect(await readBlob(url, { blob, leaveAfter: 500_000 }, signal)).toMatchObject({ complete: true })

  await upstream.stop()
  expect(await readBlob(url, { blob }, signal)).toMatchObject({ status: 0, bytes: 0, complete: false })
})

test('who leaves on a signal keeps what has come', async () => {
  const { url } = await serve({ stallAt: 600_000 })
  const leave = new AbortController()
  const onProgress = (bytes: number) => bytes >= 500_000 && leave.abort()

  const read = await readBlob(url, { blob, leaveOn: leave.signal, onProgress }, signal)

  expect(read).toMatchObject({ complete: false, right: true })
  expect(read.bytes).toBeGreaterThanOrEqual(500_000)
})

test('a stalled reader takes its first bytes and no more', async () => {
  // More than socket buffers take.
  const large = Buffer.alloc(64 * 1024 ** 2)
  const drained: number[] = []
  let connections = 0
  const server = createServer((socket) => {
    const number = connections++
    socket.on('error', () => {})
    socket.once('drain', () => drained.push(number))
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      socket.write(large)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const address = server.address()
  if (typeof address !== 'object' || !address) throw new Error('no port')
  const url = `http://127.0.0.1:${address.port}/blob`

  using stalled = stallOn(url)
  expect(await stalled.begun).toBe(200)
  // While this one reads it all, the other has time enough for as much.
  expect(await readBlob(url, { blob: large }, signal)).toMatchObject({ complete: true })
  await expect.poll(() => drained).toContain(1)

  expect(drained).toEqual([1])
})
