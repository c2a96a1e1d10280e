import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Edge, mirrorPolicy, startEdge } from '../support/edge.ts'
import { fetchBlob } from '../support/fetch-blob.ts'
import { buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { startUpstream, type Upstream } from '../support/upstream.ts'

interface TokenAnswer {
  token: string
  access_token: string
  expires_in: number
}

const image = buildImage({ layers: [1000] })
let upstream: Upstream
let edge: Edge

beforeAll(async () => {
  upstream = await startUpstream()
  upstream.addImage('library/app', '1', image)
  const shut = { kind: 'project', name: 'team', proxy: { registry: 'upstream', path: 'team' } }
  edge = await startEdge({
    policies: { 'mirror.yaml': mirrorPolicy(upstream, { more: [shut] }) },
    env: { OUTPORT_MIRROR_LISTEN: 'off', OUTPORT_SITE: 'branch' },
  })
})

afterAll(async () => {
  await edge[Symbol.asyncDispose]()
  await upstream[Symbol.asyncDispose]()
})

function tokenFor(query: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${edge.url}/service/token?${query}`, { headers })
}

describe('a site with something private', () => {
  test('challenges at the base, in the name it was asked by, and still serves what is public to anybody', async () => {
    const ping = await fetchBlob(`${edge.url}/v2/`)
    expect([ping.status, ping.headers['www-authenticate']]).toEqual([
      401,
      `Bearer realm="${edge.url}/service/token",service="branch"`,
    ])
    expect((await pull(edge.url, 'docker.io/library/app', '1')).digest).toBe(image.manifest.digest)
  })

  test('names no host that is not its own', async () => {
    for (const host of ['evil.example', 'evil.example:5000']) {
      const ping = await fetchBlob(`${edge.url}/v2/`, {
        headers: { host, 'x-forwarded-host': 'worse.example' },
      })
      expect([ping.status, ping.headers['www-authenticate']]).toEqual([421, undefined])
    }
    const forwarded = await fetchBlob(`${edge.url}/v2/`, { headers: { 'x-forwarded-host': 'evil.example' } })
    expect(forwarded.headers['www-authenticate']).not.toContain('evil')
  })
})

describe('an anonymous token', () => {
  test('is signed, bound to this site, short, and holds what anybody may do', async () => {
    const scopes = [
      'repository:docker.io/library/app:pull',
      'repository:docker.io/library/app:pull,push',
      'repository:team/app:pull',
      'repository:nothing/app:pull',
      'repository:docker.io/library/app:push',
      'registry:catalog:*',
      'nonsense',
    ]
    const answer = await tokenFor(`service=branch&${scopes.map((scope) => `scope=${scope}`).join('&')}`)
    expect(answer.status).toBe(200)
    const { token, access_token: same, expires_in: seconds } = (await answer.json()) as TokenAnswer
    expect([same, seconds]).toEqual([token, 300])
    const keys = (await (await fetch(`${edge.url}/.well-known/jwks.json`)).json()) as JSONWebKeySet
    expect(Object.keys(keys.keys[0] ?? {})).not.toContain('d')
    const { payload, protectedHeader } = await jwtVerify(token, createLocalJWKSet(keys), {
      issuer: 'branch',
      audience: 'branch',
      algorithms: ['ES256'],
      requiredClaims: ['exp', 'iat', 'nbf', 'jti', 'sub', 'access'],
    })
    expect(protectedHeader).toMatchObject({ alg: 'ES256', typ: 'JWT' })
    expect([payload.sub, Number(payload.iat) - Number(payload.nbf)]).toEqual(['', 60])
    expect(payload.access).toEqual([
      { type: 'repository', name: 'docker.io/library/app', actions: ['pull'] },
      { type: 'repository', name: 'docker.io/library/app', actions: ['pull'] },
      { type: 'repository', name: 'team/app', actions: [] },
      { type: 'repository', name: 'nothing/app', actions: [] },
      { type: 'repository', name: 'docker.io/library/app', actions: [] },
      { type: 'registry', name: 'catalog', actions: [] },
    ])
  })

  test('is signed with the same key after a restart', async () => {
    const keysOf = async () => (await fetch(`${edge.url}/.well-known/jwks.json`)).text()
    const before = await keysOf()
    await edge.restart()
    expect(await keysOf()).toBe(before)
  })

  test.each([
    ['for another service', 'service=other&scope=repository:a/b:pull', 400],
    ['for no service', 'scope=repository:a/b:pull', 400],
    ['for nothing, as a login is', 'service=branch', 401],
    ['for too much', `service=branch&scope=${'repository:a/b:pull%20'.repeat(65)}`, 400],
  ])('is not given %s', async (_, query, status) => {
    expect((await tokenFor(query)).status).toBe(status)
  })

  test.each([
    'Basic YTpi',
    'Basic',
    'Bearer x',
    'nonsense',
  ])('is never given instead of a refused login: %s', async (authorization) => {
    const answer = await tokenFor('service=branch&scope=repository:docker.io/library/app:pull', {
      authorization,
    })
    expect(answer.status).toBe(401)
    expect(await answer.json()).toMatchObject({ errors: [{ code: 'UNAUTHORIZED' }] })
  })
})
