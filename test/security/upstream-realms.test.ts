import { describe, expect, test } from 'vitest'
import { parseRealm } from '../../src/upstream/realm.ts'
import {
  failureOf,
  manifestDigest,
  never,
  type Recorder,
  repository,
  sendManifest,
  settingsFor,
  startClient,
  startServer,
  tag,
} from '../upstream/server.ts'

const credential = { username: 'me', password: 'hunter2' }

/** An upstream whose challenges name `realms(url)`, and that takes the token `t1`. */
async function startUpstream(realms: (url: string) => string[]): Promise<Recorder> {
  const upstream: Recorder = await startServer((request, response) => {
    if (request.url?.startsWith('/token')) return response.end('{"token":"t1"}')
    if (request.headers.authorization === 'Bearer t1') return sendManifest(response)
    const challenges = realms(upstream.url).map((realm) => `Bearer realm="${realm}",service="s"`)
    response.writeHead(401, { 'www-authenticate': challenges }).end()
  })
  return upstream
}

/** Somebody who waits for a credential; gives tokens to everybody. */
const startThief = () => startServer((_, response) => response.end('{"token":"t1"}'))

describe('a realm that upstream names', () => {
  test.each<[string, (thief: Recorder) => string, string]>([
    ['on another port', (thief) => `${thief.url}/token`, '127.0.0.1:'],
    ['under another name of this host', (thief) => `http://localhost:${thief.port}/token`, 'localhost:'],
    ['under another address of this host', (thief) => `http://127.0.0.2:${thief.port}/token`, '127.0.0.2:'],
    ['as a mapped address', (thief) => `http://[::ffff:127.0.0.1]:${thief.port}/`, '[::ffff:7f00:1]:'],
    ['at the cloud’s metadata', () => 'https://169.254.169.254/', '169.254.169.254'],
    ['that only looks like it', () => 'https://127.0.0.1.evil.test/token', '127.0.0.1.evil.test'],
    ['with a login', (thief) => thief.url.replace('//', '//127.0.0.1:80@'), '127.0.0.1:'],
    ['in a file', () => 'file:///etc/passwd', 'file:'],
    ['over another scheme', () => 'gopher://127.0.0.1/x', 'gopher:'],
    ['without a scheme', () => '/token', 'not an absolute URL'],
    ['relative to the scheme', (thief) => `//${thief.host}/token`, 'not an absolute URL'],
    ['left empty', () => '', 'not an absolute URL'],
  ])('%s is refused and never asked', async (_, realm, named) => {
    await using thief = await startThief()
    await using upstream = await startUpstream(() => [realm(thief)])
    await using client = startClient(settingsFor(upstream.url, { credential }))

    const failure = await failureOf(client.getManifest(repository, tag, never()))

    expect(failure.kind).toBe('lying')
    expect(failure.message).toContain(named)
    expect(failure.message).not.toContain('hunter2')
    expect(thief.connections).toBe(0)
    expect(upstream.requests).toHaveLength(1)
  })

  test.each([
    ['first', 0],
    ['last', 1],
  ])('next to a good one (%s) is left alone', async (_, position) => {
    await using thief = await startThief()
    await using upstream = await startUpstream((url) =>
      [`${url}/token`].toSpliced(position, 0, `${thief.url}/token`),
    )
    await using client = startClient(settingsFor(upstream.url, { credential }))

    expect((await client.getManifest(repository, tag, never())).digest).toBe(manifestDigest)
    expect(thief.connections).toBe(0)
  })

  test('may be one of the tokenHosts, with its port', async () => {
    await using service = await startThief()
    await using upstream = await startUpstream(() => [`${service.url}/token`])
    await using client = startClient(settingsFor(upstream.url, { credential, tokenHosts: [service.host] }))

    expect((await client.getManifest(repository, tag, never())).digest).toBe(manifestDigest)
    expect(service.requests[0]?.headers.authorization).toMatch(/^Basic /)
  })

  test('that is listed may not lead elsewhere', async () => {
    await using thief = await startThief()
    await using service = await startServer((_, response) => {
      response.writeHead(307, { location: `${thief.url}/token` }).end()
    })
    await using upstream = await startUpstream(() => [`${service.url}/token`])
    const hosts = { tokenHosts: [service.host], redirectHosts: [thief.host] }
    await using client = startClient(settingsFor(upstream.url, { credential, ...hosts }))

    expect((await failureOf(client.getManifest(repository, tag, never()))).kind).toBe('lying')
    expect(thief.connections).toBe(0)
  })
})

describe('which realms may see a credential', () => {
  const https = new URL('https://registry.corp')

  test.each<[string, string, Parameters<typeof settingsFor>[1]]>([
    ['the same origin', 'https://registry.corp/service/token', {}],
    ['the same origin, port spelled out', 'https://REGISTRY.corp:443/token', {}],
    ['a listed host', 'https://auth.corp/token', { tokenHosts: ['auth.corp'] }],
    ['a listed host and port', 'https://auth.corp:8443/token', { tokenHosts: ['auth.corp:8443'] }],
    ['Docker Hub’s own', 'https://auth.docker.io/token', { type: 'docker-hub' }],
  ])('%s: yes', (_, realm, more) => {
    expect(parseRealm(realm, https, settingsFor(https.origin, more)).href).toBe(new URL(realm).href)
  })

  test.each<[string, string, Parameters<typeof settingsFor>[1]]>([
    ['the same host without TLS', 'http://registry.corp/token', {}],
    ['the same host on another port', 'https://registry.corp:8443/token', {}],
    ['a subdomain', 'https://auth.registry.corp/token', {}],
    ['the same registrable domain', 'https://auth.corp/token', {}],
    ['a trailing dot', 'https://registry.corp./token', {}],
    ['a listed host on another port', 'https://auth.corp:8443/token', { tokenHosts: ['auth.corp'] }],
    ['a listed host without TLS', 'http://auth.corp/token', { tokenHosts: ['auth.corp'] }],
    ['a listed host as a suffix', 'https://auth.corp.evil.test/token', { tokenHosts: ['auth.corp'] }],
    ['a listed host as a login', 'https://auth.corp@evil.test/token', { tokenHosts: ['auth.corp'] }],
    ['a redirect host', 'https://cdn.corp/token', { redirectHosts: ['cdn.corp'] }],
    ['Docker Hub’s for another registry', 'https://auth.docker.io/token', {}],
    ['one like Docker Hub’s', 'https://auth.docker.io.evil.test/token', { type: 'docker-hub' }],
  ])('%s: no', (_, realm, more) => {
    expect(() => parseRealm(realm, https, settingsFor(https.origin, more))).toThrow(/token realm refused/)
  })
})

test('Basic is for the registry itself, never for where it redirects to', async () => {
  await using thief = await startServer((_, response) => {
    response.writeHead(401, { 'www-authenticate': 'Basic realm="give it to me"' }).end()
  })
  await using upstream = await startServer((_, response) => {
    response.writeHead(307, { location: thief.url }).end()
  })
  await using client = startClient(settingsFor(upstream.url, { credential, redirectHosts: [thief.host] }))

  expect((await failureOf(client.getManifest(repository, tag, never()))).kind).toBe('down')
  expect(thief.requests.map(({ headers }) => headers.authorization)).toEqual([undefined])
})
