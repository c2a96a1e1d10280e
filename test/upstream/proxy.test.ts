import type { LookupFunction } from 'node:net'
import { describe, expect, test } from 'vitest'
import { createAuthority } from '../support/certificates.ts'
import { startProxy } from './proxy.ts'
import {
  blobDigest,
  failureOf,
  manifestDigest,
  never,
  repository,
  sendManifest,
  settingsFor,
  startClient,
  startServer,
  tag,
} from './server.ts'

const authority = createAuthority()
const tls = authority.issue({ names: ['registry.test', 'cdn.test'] })
const settings = settingsFor('https://registry.test', { ca: authority.ca })

function resolving(names: Record<string, string>): LookupFunction {
  return (hostname, _, callback) => {
    const address = names[hostname]
    if (address) callback(null, [{ address, family: 4 }])
    else callback(Object.assign(new Error('unknown'), { code: 'ENOTFOUND' }), '')
  }
}

describe('behind a proxy', () => {
  test('https goes through a tunnel, with the proxy’s own login', async () => {
    await using upstream = await startServer((_, response) => sendManifest(response), tls)
    await using proxy = await startProxy(upstream.port)
    const httpsProxy = proxy.url.replace('//', '//user:pass%21@')
    await using client = startClient(settings, { proxy: { httpsProxy }, lookup: resolving({}) })

    expect((await client.getManifest(repository, tag, never())).digest).toBe(manifestDigest)

    const authorization = `Basic ${Buffer.from('user:pass!').toString('base64')}`
    expect(proxy.asked).toEqual([{ target: 'registry.test:443', authorization }])
    expect(upstream.requests[0]?.headers).not.toHaveProperty('proxy-authorization')
  })

  test('a proxy may be named without a scheme; what is no URL is not repeated', async () => {
    await using upstream = await startServer((_, response) => sendManifest(response), tls)
    await using proxy = await startProxy(upstream.port)
    const httpsProxy = proxy.url.replace('http://', '')
    await using client = startClient(settings, { proxy: { httpsProxy }, lookup: resolving({}) })

    expect((await client.getManifest(repository, tag, never())).digest).toBe(manifestDigest)
    expect(() => startClient(settings, { proxy: { httpsProxy: 'http://me:hunter2@[' } })).toThrow(
      /^the proxy of the environment is no URL$/,
    )
  })

  test('what NO_PROXY names is asked directly', async () => {
    await using upstream = await startServer((_, response) => sendManifest(response))
    await using proxy = await startProxy(upstream.port)
    const proxied = { httpProxy: proxy.url, httpsProxy: proxy.url, noProxy: 'localhost,127.0.0.1' }
    await using client = startClient(settingsFor(upstream.url), { proxy: proxied })

    await client.getManifest(repository, tag, never())

    expect(proxy.asked).toEqual([])
  })

  test('a proxy for http is not one for https', async () => {
    await using upstream = await startServer((_, response) => sendManifest(response), tls)
    await using proxy = await startProxy(upstream.port)
    const direct = { ...settings, urls: [`https://registry.test:${upstream.port}`] }
    const lookup = resolving({ 'registry.test': '127.0.0.1' })
    await using client = startClient(direct, { proxy: { httpProxy: proxy.url }, lookup })

    await client.getManifest(repository, tag, never())

    expect(proxy.asked).toEqual([])
  })

  test('an address is connected to directly', async () => {
    await using upstream = await startServer((_, response) => sendManifest(response), tls)
    await using proxy = await startProxy(upstream.port)
    const fixed = { ...settings, address: upstream.host }
    await using client = startClient(fixed, { proxy: { httpsProxy: proxy.url }, lookup: resolving({}) })

    await client.getManifest(repository, tag, never())

    expect(proxy.asked).toEqual([])
    expect(upstream.requests[0]?.headers.host).toBe('registry.test')
  })

  test.each([
    ['resolve to a private address', { 'cdn.test': '10.1.2.3' }, false],
    ['resolve to a public one', { 'cdn.test': '93.184.215.14' }, true],
    ['only the proxy can resolve', {}, true],
  ])('redirects to names that %s', async (_, names, allowed) => {
    await using upstream = await startServer((request, response) => {
      if (request.headers.host === 'cdn.test') response.writeHead(200, { 'content-length': 5 }).end()
      else response.writeHead(307, { location: 'https://cdn.test/layer' }).end()
    }, tls)
    await using proxy = await startProxy(upstream.port)
    await using client = startClient(settings, { proxy: { httpsProxy: proxy.url }, lookup: resolving(names) })

    const head = client.headBlob(repository, blobDigest, never())

    if (allowed) expect(await head).toEqual({ size: 5 })
    else expect((await failureOf(head)).kind).toBe('lying')
    const targets = proxy.asked.map(({ target }) => target)
    expect(targets).toEqual(allowed ? ['registry.test:443', 'cdn.test:443'] : ['registry.test:443'])
  })

  test('a redirect to a private address is refused without asking the proxy', async () => {
    await using upstream = await startServer((_, response) => {
      response.writeHead(307, { location: 'https://169.254.169.254/latest' }).end()
    }, tls)
    await using proxy = await startProxy(upstream.port)
    await using client = startClient(settings, { proxy: { httpsProxy: proxy.url }, lookup: resolving({}) })

    expect((await failureOf(client.headBlob(repository, blobDigest, never()))).kind).toBe('lying')
    expect(proxy.asked).toHaveLength(1)
  })

  test('a proxy that does not answer makes upstream down, and its login stays unsaid', async () => {
    await using upstream = await startServer((_, response) => sendManifest(response), tls)
    const proxy = await startProxy(upstream.port)
    const httpsProxy = proxy.url.replace('//', '//user:hunter2@')
    await proxy[Symbol.asyncDispose]()
    await using client = startClient(settings, { proxy: { httpsProxy }, lookup: resolving({}) })

    const failure = await failureOf(client.getManifest(repository, tag, never()))

    expect(failure.kind).toBe('down')
    expect(failure.message).not.toContain('hunter2')
  })
})
