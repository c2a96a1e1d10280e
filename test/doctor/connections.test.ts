import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { expect, test } from 'vitest'
import { startBlackHole } from '../support/black-hole.ts'
import { createAuthority } from '../support/certificates.ts'
import { examine } from './support/diagnosis.ts'
import { startFront } from './support/front.ts'

const authority = createAuthority()

/** What a node that holds nothing but mirrors says to a ping. */
const good = () => ({
  status: 200,
  headers: { 'docker-distribution-api-version': 'registry/2.0' },
  body: Buffer.from('{}'),
})

/** A port that is free, and stays so for a while. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

test('nobody listens', async () => {
  const told = await examine(`http://127.0.0.1:${await freePort()}`)
  expect(told).toMatchObject({ mistakes: ['connection-refused'], clients: {} })
})

test('the name does not resolve', async () => {
  const told = await examine('http://edge.invalid:5000')
  expect(told).toMatchObject({ mistakes: ['name-unresolved'], clients: {} })
})

test('a firewall swallows packets', async () => {
  const port = await freePort()
  await using _ = await startBlackHole('127.0.0.1', port)
  const told = await examine(`http://127.0.0.1:${port}`)
  expect(told).toMatchObject({ mistakes: ['connection-timeout'], clients: {} })
})

test('a door that takes connections and says nothing', async () => {
  await using front = await startFront({ change: () => 'hang' })
  const told = await examine(front.url, { answerMs: 500 })
  expect(told).toMatchObject({ mistakes: ['answer-timeout'], clients: {} })
})

test.each([
  ['that closes every connection', '', 'connection-closed'],
  ['that speaks another protocol', 'SSH-2.0-OpenSSH_9.2\r\n', 'not-http'],
])('a port %s', async (_, greeting, code) => {
  const server = createServer((socket) => socket.on('error', () => {}).end(greeting)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  try {
    expect((await examine(`http://127.0.0.1:${port}`)).mistakes).toEqual([code])
  } finally {
    server.close()
  }
})

test('https is spoken to an http door, and http to an https door', async () => {
  await using plain = await startFront({ change: good })
  await using secure = await startFront({ change: good, tls: authority.issue({ names: ['127.0.0.1'] }) })
  expect((await examine(`https://${plain.host}`)).mistakes).toEqual(['https-to-http-door'])
  expect((await examine(`http://${secure.host}`)).mistakes).toEqual(['http-to-https-door'])
})

test('an https door that sends everybody there, or answers 400 as nginx does', async () => {
  await using secure = await startFront({ change: good, tls: authority.issue({ names: ['127.0.0.1'] }) })
  await using sending = await startFront({
    change: () => ({ status: 308, headers: { location: `${secure.url}/v2/` }, body: Buffer.alloc(0) }),
  })
  expect((await examine(sending.url)).mistakes).toEqual(['http-to-https-door'])

  const both = createServer((socket) => {
    socket
      .on('error', () => {})
      .once('data', (first) => {
        if (first[0] !== 22) {
          socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n')
          return
        }
        const behind = connect(Number(new URL(secure.url).port), '127.0.0.1').on('error', () =>
          socket.destroy(),
        )
        behind.write(first)
        socket.pipe(behind).pipe(socket)
      })
  }).listen(0, '127.0.0.1')
  await once(both, 'listening')
  const { port } = both.address() as AddressInfo
  expect((await examine(`http://127.0.0.1:${port}`)).mistakes).toEqual(['http-to-https-door'])
  both.close()
})

test.each([
  ['ahead', 5 * 60_000],
  ['behind', -5 * 60_000],
])('a clock that is %s', async (_, byMs) => {
  await using front = await startFront({
    change() {
      const { headers, ...told } = good()
      return { ...told, headers: { ...headers, date: new Date(Date.now() + byMs).toUTCString() } }
    },
  })
  const told = await examine(front.url, { only: ['podman', 'docker-old'] })
  expect(told).toMatchObject({ mistakes: ['clock-wrong'], clients: { podman: 'ok', 'docker-old': 'ok' } })
})

test('a clock within a minute is good', async () => {
  await using front = await startFront({
    change() {
      const { headers, ...told } = good()
      return { ...told, headers: { ...headers, date: new Date(Date.now() - 50_000).toUTCString() } }
    },
  })
  expect((await examine(front.url, { only: ['podman'] })).mistakes).toEqual([])
})
