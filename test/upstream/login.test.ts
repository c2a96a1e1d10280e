import type { IncomingMessage, ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import type { RegistrySettings } from '../../src/upstream/registry-client.ts'
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
} from './server.ts'

const credential = { username: 'me', password: 'hunter2' }
const basic = `Basic ${Buffer.from('me:hunter2').toString('base64')}`

interface Gate extends AsyncDisposable {
  registry: Recorder
  settings(more?: Partial<RegistrySettings>): RegistrySettings
  tokenRequests(): IncomingMessage[]
  pulls(): IncomingMessage[]
}

/** A registry that takes only `Bearer <token()>`, with its token service at `/token`. */
async function startGate(options: {
  token: () => string
  issue: (request: IncomingMessage, response: ServerResponse) => void
  challenge?: (url: string) => string | string[]
}): Promise<Gate> {
  const {
    challenge = (url: string) =>
      `Bearer realm="${url}/token",service="s",scope="repository:library/app:pull"`,
  } = options
  const registry: Recorder = await startServer((request, response) => {
    if (request.url?.startsWith('/token')) return options.issue(request, response)
    if (request.headers.authorization === `Bearer ${options.token()}`) return sendManifest(response)
    response.setHeader('www-authenticate', challenge(registry.url))
    response.writeHead(401).end('{}')
  })
  const isToken = ({ url }: IncomingMessage) => url?.startsWith('/token') ?? false
  return {
    registry,
    settings: (more) => settingsFor(registry.url, more),
    tokenRequests: () => registry.requests.filter(isToken),
    pulls: () => registry.requests.filter((request) => !isToken(request)),
    [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
  }
}

function issue(body: object) {
  return (_: IncomingMessage, response: ServerResponse) => {
    response.end(JSON.stringify(body))
  }
}

describe('a Bearer challenge', () => {
  test('is answered with a token got anonymously', async () => {
    await using gate = await startGate({ token: () => 't1', issue: issue({ token: 't1' }) })
    await using client = startClient(gate.settings())

    expect((await client.getManifest(repository, tag, never())).digest).toBe(manifestDigest)

    const [asked] = gate.tokenRequests()
    expect(asked?.method).toBe('GET')
    expect(asked?.url).toBe('/token?service=s&scope=repository%3Alibrary%2Fapp%3Apull')
    expect(asked?.headers).not.toHaveProperty('authorization')
  })

  test('is answered with a token got for the credential', async () => {
    await using gate = await startGate({
      token: () => 't1',
      issue: issue({ access_token: 't1', token: undefined }),
    })
    await using client = startClient(gate.settings({ credential }))

    await client.getManifest(repository, tag, never())

    const [asked] = gate.tokenRequests()
    expect(asked?.headers.authorization).toBe(basic)
    expect(asked?.url).toContain('account=me')
    expect(gate.pulls().map(({ headers }) => headers.authorization)).toEqual([undefined, 'Bearer t1'])
  })

  test('may name several scopes, among other challenges', async () => {
    await using gate = await startGate({
      token: () => 't1',
      issue: issue({ token: 't1' }),
      challenge: (url) => [
        'Negotiate',
        `Basic realm="x", BEARER Realm="${url}/token?tenant=7", Service="s", scope="a:b:pull c:d:pull"`,
      ],
    })
    await using client = startClient(gate.settings())

    await client.getManifest(repository, tag, never())

    expect(gate.tokenRequests()[0]?.url).toBe(
      '/token?tenant=7&service=s&scope=a%3Ab%3Apull&scope=c%3Ad%3Apull',
    )
  })

  test.each([404, 405])('is answered by the password grant where GET answers %i', async (status) => {
    let form = ''
    await using gate = await startGate({
      token: () => 't1',
      issue: async (request, response) => {
        if (request.method !== 'POST') return void response.writeHead(status).end()
        form = await text(request)
        response.end(JSON.stringify({ access_token: 't1' }))
      },
    })
    await using client = startClient(gate.settings({ credential }))

    await client.getManifest(repository, tag, never())

    expect(Object.fromEntries(new URLSearchParams(form))).toEqual({
      grant_type: 'password',
      client_id: 'outport',
      service: 's',
      scope: 'repository:library/app:pull',
      ...credential,
    })
  })

  test('costs one token for many requests, also for the first ones that come together', async () => {
    await using gate = await startGate({ token: () => 't1', issue: issue({ token: 't1', expires_in: 300 }) })
    await using client = startClient(gate.settings())

    await Promise.all(Array.from({ length: 10 }, () => client.getManifest(repository, tag, never())))
    const before = gate.pulls().length
    await client.getManifest(repository, tag, never())

    expect(gate.tokenRequests()).toHaveLength(1)
    expect(
      gate
        .pulls()
        .slice(before)
        .map(({ headers }) => headers.authorization),
    ).toEqual(['Bearer t1'])
  })

  test.each([
    [{ expires_in: 300 }, 300],
    [{}, 60],
    [{ expires_in: 0 }, 60],
    [{ expires_in: 'soon' }, 60],
  ])('is answered anew shortly before %j is over', async (lifetime, seconds) => {
    let number = 0
    let clock = Date.now()
    await using gate = await startGate({
      token: () => `t${number}`,
      issue: (request, response) => issue({ token: `t${++number}`, ...lifetime })(request, response),
    })
    await using client = startClient(gate.settings(), { now: () => clock })
    await client.getManifest(repository, tag, never())

    clock += seconds * 850
    await client.getManifest(repository, tag, never())
    expect(gate.tokenRequests()).toHaveLength(1)

    clock += seconds * 100
    await client.getManifest(repository, tag, never())
    expect(gate.tokenRequests()).toHaveLength(2)
    expect(gate.pulls().filter(({ headers }) => headers.authorization === undefined)).toHaveLength(1)
  })

  test('to a token that was good before is answered by one fresh token', async () => {
    let good = 't1'
    let number = 0
    await using gate = await startGate({
      token: () => good,
      issue: (request, response) => issue({ token: `t${++number}`, expires_in: 300 })(request, response),
    })
    await using client = startClient(gate.settings())
    await client.getManifest(repository, tag, never())

    good = 't2'
    await client.getManifest(repository, tag, never())
    expect(gate.tokenRequests()).toHaveLength(2)

    good = 'never again'
    expect((await failureOf(client.getManifest(repository, tag, never()))).kind).toBe('refused')
    expect(gate.tokenRequests()).toHaveLength(3)
  })

  test('to a token that is brand new is final', async () => {
    let good = 't1'
    let number = 0
    let clock = Date.now()
    await using gate = await startGate({
      token: () => good,
      issue: (request, response) => issue({ token: `t${++number}`, expires_in: 300 })(request, response),
    })
    await using client = startClient(gate.settings(), { now: () => clock })
    await client.getManifest(repository, tag, never())

    good = 'never again'
    clock += 300_000
    expect((await failureOf(client.getManifest(repository, tag, never()))).kind).toBe('refused')
    expect(gate.tokenRequests()).toHaveLength(2)
  })

  test('for Basic, as Harbor sends it to an old token, is answered by a fresh token first', async () => {
    let good = 't1'
    let number = 0
    await using gate = await startGate({
      token: () => good,
      issue: (request, response) => issue({ token: `t${++number}`, expires_in: 300 })(request, response),
      challenge: (url) => (number === 0 ? `Bearer realm="${url}/token",service="s"` : 'Basic realm="harbor"'),
    })
    await using client = startClient(gate.settings())
    await client.getManifest(repository, tag, never())

    good = 't2'
    await client.getManifest(repository, tag, never())

    expect(gate.tokenRequests()).toHaveLength(2)
  })

  test('is asked for again when the token service that was known is gone', async () => {
    let moved = false
    let issued = 0
    await using gate = await startGate({
      token: () => `t${issued}`,
      issue: (request, response) => {
        if (moved && !request.url?.startsWith('/token-new')) return void response.writeHead(500).end()
        issue({ token: `t${++issued}` })(request, response)
      },
      challenge: (url) => `Bearer realm="${url}/token${moved ? '-new' : ''}",service="s"`,
    })
    let clock = Date.now()
    await using client = startClient(gate.settings(), { now: () => clock })
    await client.getManifest(repository, tag, never())

    moved = true
    clock += 120_000
    expect((await failureOf(client.getManifest(repository, tag, never()))).kind).toBe('down')
    expect((await client.getManifest(repository, tag, never())).digest).toBe(manifestDigest)
  })

  test.each<
    [
      string,
      'refused' | 'limited' | 'down' | 'lying',
      (request: IncomingMessage, response: ServerResponse) => void,
    ]
  >([
    ['a refused login', 'refused', (_, response) => response.writeHead(401).end()],
    ['an unknown service', 'refused', (_, response) => response.writeHead(400).end()],
    ['a limit', 'limited', (_, response) => response.writeHead(429, { 'retry-after': '3' }).end()],
    ['an error', 'down', (_, response) => response.writeHead(500).end()],
    ['a redirect', 'lying', (_, response) => response.writeHead(307, { location: '/token2' }).end()],
    [
      'a web page',
      'lying',
      (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'),
    ],
    ['no JSON', 'lying', (_, response) => response.end('token')],
    ['no token', 'lying', (_, response) => response.end('{"token":7}')],
    [
      'a token with a line break',
      'lying',
      (_, response) => response.end(JSON.stringify({ token: 'a\r\nx-evil: 1' })),
    ],
    ['more than 64 KiB', 'lying', (_, response) => response.end(`{"token":"t1"}${' '.repeat(65_536)}`)],
  ])('that leads to %s is %s', async (_, kind, answer) => {
    await using gate = await startGate({ token: () => 't1', issue: answer })
    await using client = startClient(gate.settings({ credential }))

    const failure = await failureOf(client.getManifest(repository, tag, never()))

    expect(failure.kind).toBe(kind)
    expect(gate.tokenRequests()).toHaveLength(1)
    expect(failure.message).not.toContain('hunter2')
  })

  test('whose token does not come in time is down', async () => {
    await using gate = await startGate({ token: () => 't1', issue: () => {} })
    await using client = startClient(gate.settings({ timeouts: { headMs: 100, idleMs: 5_000 } }))

    expect((await failureOf(client.getManifest(repository, tag, never()))).kind).toBe('down')
  })
})

describe('a Basic challenge', () => {
  const gate = () =>
    startServer((request, response) => {
      if (request.headers.authorization === basic) return sendManifest(response)
      response.writeHead(401, { 'www-authenticate': 'basic realm="x"' }).end()
    })

  test('is answered with the credential, and ahead of the next one', async () => {
    await using registry = await gate()
    await using client = startClient(settingsFor(registry.url, { credential }))

    await client.getManifest(repository, tag, never())
    await client.getManifest(repository, tag, never())

    expect(registry.requests.map(({ headers }) => headers.authorization)).toEqual([undefined, basic, basic])
  })

  test.each([
    ['without a credential', undefined, 1],
    ['with a wrong one', { username: 'me', password: 'wrong' }, 2],
  ])('%s is refused', async (_, wrong, requests) => {
    await using registry = await gate()
    await using client = startClient(settingsFor(registry.url, wrong && { credential: wrong }))

    expect((await failureOf(client.getManifest(repository, tag, never()))).kind).toBe('refused')
    expect(registry.requests).toHaveLength(requests)
  })
})

test('a caller that leaves does not take the token from the others', async () => {
  const asked = Promise.withResolvers<ServerResponse>()
  await using gate = await startGate({ token: () => 't1', issue: (_, response) => asked.resolve(response) })
  await using client = startClient(gate.settings())
  const caller = new AbortController()
  const reason = new Error('gone')
  const first = failureOf(client.getManifest(repository, tag, caller.signal))
  const second = client.getManifest(repository, tag, never())

  const response = await asked.promise
  caller.abort(reason)
  expect(await first).toBe(reason)
  response.end('{"token":"t1"}')

  expect((await second).digest).toBe(manifestDigest)
  expect(gate.tokenRequests()).toHaveLength(1)
})
