import type { LookupAddress } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { describe, expect, test } from 'vitest'
import { isForbiddenAddress, publicLookup } from '../../src/upstream/addresses.ts'
import {
  blobDigest,
  closedPort,
  failureOf,
  never,
  repository,
  settingsFor,
  startClient,
  startServer,
  tag,
} from '../upstream/server.ts'

describe('addresses that upstream may not send us to', () => {
  test.each([
    '0.0.0.0',
    '0.1.2.3',
    '10.0.0.1',
    '100.64.0.1',
    '100.127.255.255',
    '127.0.0.1',
    '127.255.255.254',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.0.0.8',
    '192.168.1.1',
    '198.18.0.1',
    '198.19.255.255',
    '224.0.0.1',
    '239.1.1.1',
    '240.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::7f00:1',
    '::169.254.169.254',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '::ffff:8.8.8.8',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b::10.0.0.1',
    '64:ff9b:1::1',
    '2001::1',
    '2001:0:4136:e378::1',
    '2002:a9fe:a9fe::',
    '2002:7f00:1::1',
    'fc00::1',
    'fd12:3456::1',
    'fe80::1',
    'fe80::1%eth0',
    'febf::1',
    'fec0::1',
    'ff02::1',
    '[::1]',
    '',
    'localhost',
    '0x7f000001',
    '127.1',
  ])('%s', (address) => {
    expect(isForbiddenAddress(address)).toBe(true)
  })

  test.each([
    '1.1.1.1',
    '8.8.8.8',
    '100.63.255.255',
    '100.128.0.0',
    '172.15.0.1',
    '172.32.0.1',
    '192.0.1.1',
    '198.17.0.1',
    '223.255.255.255',
    '2606:4700::1111',
    '2a00::1',
    '2001:4860:4860::8888',
  ])('but %s', (address) => {
    expect(isForbiddenAddress(address)).toBe(false)
  })
})

/** Forms that parsers of addresses have disagreed about; `PORT` stands for one on which somebody listens. */
const literals = [
  'http://127.0.0.1:PORT/',
  'http://127.1:PORT/',
  'http://0x7f000001:PORT/',
  'http://2130706433:PORT/',
  'http://0177.0.0.1:PORT/',
  'http://0:PORT/',
  'http://0.0.0.0:PORT/',
  'http://[::1]:PORT/',
  'http://[::]:PORT/',
  'http://[::ffff:7f00:1]:PORT/',
  'http://[::ffff:127.0.0.1]:PORT/',
  'http://[0:0:0:0:0:ffff:7f00:0001]:PORT/',
  'http://[::127.0.0.1]:PORT/',
  'http://①②⑦.⓪.⓪.①:PORT/',
  'http://127.0.0.1.:PORT/',
  'http://[64:ff9b::7f00:1]:PORT/',
  'http://[2002:7f00:1::]:PORT/',
  'http://169.254.169.254/',
  'http://[64:ff9b::a9fe:a9fe]/',
  'http://[2002:a9fe:a9fe::]/',
  'http://[::169.254.169.254]/',
  'http://10.0.0.1/',
  'http://localhost:PORT/',
]

test.each(literals)('a redirect to %s is refused without a connection', async (target) => {
  await using trap = await startServer((_, response) => response.end())
  const location = target.replace('PORT', `${trap.port}`)
  await using upstream = await startServer((_, response) => {
    response
      .writeHead(307, { location: encodeURI(location).replaceAll('%5B', '[').replaceAll('%5D', ']') })
      .end()
  })
  await using client = startClient(settingsFor(upstream.url))

  const failure = await failureOf(client.headBlob(repository, blobDigest, never()))

  expect(failure.kind).toBe('lying')
  expect(failure.message).toMatch(/: refused, its address is not allowed$/)
  expect(trap.connections).toBe(0)
})

test('the answer is the same for an open and a closed port', async () => {
  await using trap = await startServer((_, response) => response.end())
  const ports = [trap.port, await closedPort()]
  const messages: string[] = []
  for (const port of ports) {
    await using upstream = await startServer((_, response) => {
      response.writeHead(307, { location: `http://127.0.0.1:${port}/` }).end()
    })
    await using client = startClient(settingsFor(upstream.url))
    const failure = await failureOf(client.headBlob(repository, blobDigest, never()))
    messages.push(`${failure.kind} ${failure.message.replace(`${port}`, 'PORT')} ${failure.cause}`)
  }

  expect(new Set(messages).size).toBe(1)
})

/** Answers each question about a name with the next of its answers, the last one again and again. */
function scripted(...answers: LookupAddress[][]): LookupFunction & { asked: () => number } {
  let asked = 0
  const lookup: LookupFunction = (_, __, callback) => {
    callback(null, answers[Math.min(asked++, answers.length - 1)] ?? [])
  }
  return Object.assign(lookup, { asked: () => asked })
}

const loopback = { address: '127.0.0.1', family: 4 }
const elsewhere = { address: '192.0.2.1', family: 4 }

describe('names', () => {
  async function redirected(name: string, lookup: LookupFunction, listed = false) {
    await using trap = await startServer((_, response) =>
      response.writeHead(200, { 'content-length': 3 }).end(),
    )
    await using upstream = await startServer((_, response) => {
      response.writeHead(307, { location: `http://${name}:${trap.port}/` }).end()
    })
    const redirectHosts = listed ? [`${name}:${trap.port}`] : []
    await using client = startClient(settingsFor(upstream.url, { redirectHosts }), { lookup })
    const outcome = await client.headBlob(repository, blobDigest, never()).catch((error) => error)
    return { outcome, connections: trap.connections, requests: trap.requests.length }
  }

  test.each([
    ['one', [loopback]],
    ['several', [loopback, { address: '::1', family: 6 }, { address: '10.0.0.1', family: 4 }]],
    ['none', []],
  ])('that resolve to %s private address are refused', async (_, addresses) => {
    const { outcome, connections } = await redirected('cdn.test', scripted(addresses))

    expect(outcome).toMatchObject({ kind: 'lying', message: 'cdn.test: refused, its address is not allowed' })
    expect(connections).toBe(0)
  })

  test('are resolved once, by the connection itself: a second answer has nobody to ask it', async () => {
    const lookup = scripted([loopback], [elsewhere])
    const { outcome } = await redirected('rebinding.test', lookup)

    expect(outcome.kind).toBe('lying')
    expect(lookup.asked()).toBe(1)
  })

  test('whose address is another one by the time of the connection get no request', async () => {
    let read = 0
    const shifty = {
      family: 4,
      get address() {
        return read++ === 0 ? '1.1.1.1' : '127.0.0.1'
      },
    }
    const { outcome, requests } = await redirected('shifty.test', scripted([shifty]))

    expect(outcome).toMatchObject({ kind: 'lying' })
    expect(read).toBeGreaterThan(1)
    expect(requests).toBe(0)
  })

  test('keep their public addresses when private ones are mixed in', async () => {
    const found = await new Promise((resolve) => {
      publicLookup(
        scripted([loopback, { address: '1.1.1.1', family: 4 }, { address: '2606:4700::1111', family: 6 }]),
      )('mixed.test', { all: true }, (error, addresses) => resolve(error ?? addresses))
    })

    expect(found).toEqual([
      { address: '1.1.1.1', family: 4 },
      { address: '2606:4700::1111', family: 6 },
    ])
  })

  test('that are listed may be private', async () => {
    const { outcome } = await redirected('cdn.test', scripted([loopback]), true)

    expect(outcome).toEqual({ size: 3 })
  })

  test('of the operator’s own url may be private', async () => {
    await using upstream = await startServer((_, response) =>
      response.writeHead(200, { 'content-length': 3 }).end(),
    )
    const settings = settingsFor(`http://registry.test:${upstream.port}`)
    await using client = startClient(settings, { lookup: scripted([loopback]) })

    expect(await client.headBlob(repository, blobDigest, never())).toEqual({ size: 3 })
  })

  test('that do not resolve are down, not lies', async () => {
    const nowhere: LookupFunction = (_, __, callback) => {
      callback(Object.assign(new Error('unknown'), { code: 'ENOTFOUND' }), '')
    }
    const { outcome } = await redirected('cdn.test', nowhere)

    expect(outcome.kind).toBe('down')
  })
})

test('a manifest’s own urls are never asked', async () => {
  await using trap = await startServer((_, response) => response.end())
  const layer = {
    mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
    digest: blobDigest,
    size: 20,
  }
  const config = { mediaType: 'application/vnd.docker.container.image.v1+json', digest: blobDigest, size: 20 }
  const mediaType = 'application/vnd.docker.distribution.manifest.v2+json'
  const foreign = { schemaVersion: 2, mediaType, config, layers: [{ ...layer, urls: [`${trap.url}/l`] }] }
  await using upstream = await startServer((request, response) => {
    if (request.url?.includes('/blobs/')) response.writeHead(404).end()
    else response.writeHead(200, { 'content-type': mediaType }).end(JSON.stringify(foreign))
  })
  await using client = startClient(settingsFor(upstream.url, { redirectHosts: [trap.host] }))

  expect((await client.getManifest(repository, tag, never())).mediaType).toBe(mediaType)
  expect((await failureOf(client.openBlob(repository, blobDigest, { offset: 0 }, never()))).kind).toBe(
    'absent',
  )
  expect(trap.connections).toBe(0)
})
