import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hashSync } from 'bcryptjs'
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify, SignJWT, UnsecuredJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Edge, mirrorPolicy, startEdge } from '../support/edge.ts'
import { fetchBlob } from '../support/fetch-blob.ts'
import { buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { startUpstream, type Upstream } from '../support/upstream.ts'

const image = buildImage({ layers: [1000] })
const owned = new AsyncDisposableStack()
let upstream: Upstream
let edge: Edge
let users: string
let password: string

const basic = (name: string, word: string) => ({
  authorization: `Basic ${Buffer.from(`${name}:${word}`).toString('base64')}`,
})
const manifest = '/v2/team/app/manifests/1'
const shownPassword = (output: string) => /the password of admin is (\S+)/.exec(output)?.[1] ?? ''

beforeAll(async () => {
  upstream = owned.use(await startUpstream())
  upstream.addImage('team/app', '1', image)
  const folder = owned.use(await temporaryDirectory())
  users = join(folder.path, 'users')
  await writeFile(users, `# people\nalice:${hashSync('wonderland', 4)}\n\nbob:${hashSync('builder', 4)}\n`)
  edge = owned.use(
    await startEdge({
      policies: { 'site.yaml': privateMirror() },
      env: { OUTPORT_MIRROR_LISTEN: 'off', OUTPORT_SITE: 'branch', OUTPORT_HTPASSWD: users },
    }),
  )
  password = shownPassword(edge.output())
})

afterAll(() => owned.disposeAsync())

function privateMirror(): string {
  const shut = { kind: 'project', name: 'team', proxy: { registry: 'upstream', path: 'team' } }
  const hosted = { kind: 'project', name: 'own' }
  return mirrorPolicy(upstream, { more: [shut, hosted] })
}

async function statusOf(path: string, headers: Record<string, string> = {}): Promise<number> {
  return (await fetch(`${edge.url}${path}`, { headers })).status
}

async function tokenFor(scope: string, headers: Record<string, string>): Promise<Record<string, string>> {
  const answer = await fetch(`${edge.url}/service/token?service=branch&scope=${scope}`, { headers })
  expect(answer.status).toBe(200)
  const { token } = (await answer.json()) as { token: string }
  return { authorization: `Bearer ${token}` }
}

describe('the administrator', () => {
  test('gets a random password, which is shown once and kept as a verifier', async () => {
    expect(password).toMatch(/^[\w-]{24}$/)
    expect(edge.logs.map((line) => JSON.stringify(line)).join()).not.toContain(password)
    const verifier = join(edge.data, 'keys', 'admin')
    expect(await readFile(verifier, 'utf8')).toMatch(/^\$scrypt\$/)
    expect((await stat(verifier)).mode & 0o777).toBe(0o600)
    const before = edge.output().length
    await edge.restart()
    expect(edge.output().slice(before)).not.toContain('the password of')
    expect(await statusOf('/v2/', basic('admin', password))).toBe(200)
  })

  test('may have a password of the operator, which holds instead', async () => {
    await using other = await startEdge({
      policies: { 'site.yaml': privateMirror() },
      env: { OUTPORT_MIRROR_LISTEN: 'off', OUTPORT_ADMIN_PASSWORD: 'correct horse' },
    })
    expect(other.output()).not.toContain('the password of')
    const ping = (word: string) =>
      fetch(`${other.url}/v2/`, { headers: basic('admin', word) }).then(({ status }) => status)
    expect(await ping('correct horse')).toBe(200)
    expect(await ping('correct horsf')).toBe(401)
    expect(await readdir(join(other.data, 'keys'))).not.toContain('admin')
  })

  test('is made when the first project comes that needs one, and not before', async () => {
    await using other = await startEdge({
      policies: { 'site.yaml': mirrorPolicy(upstream) },
      env: { OUTPORT_MIRROR_LISTEN: 'off' },
    })
    expect(await readdir(join(other.data, 'keys'))).not.toContain('admin')
    await writeFile(join(other.policies, 'site.yaml'), privateMirror())
    await expect.poll(() => shownPassword(other.output()), { timeout: 15_000 }).toMatch(/./)
    const headers = basic('admin', shownPassword(other.output()))
    expect((await fetch(`${other.url}/v2/`, { headers })).status).toBe(200)
  })
})

describe('whoever has a password', () => {
  test.each([
    ['admin', () => password],
    ['alice', () => 'wonderland'],
    ['bob', () => 'builder'],
  ])('reads what is private, by Basic and by tokens: %s', async (name, word) => {
    const headers = basic(name, word())
    expect(await statusOf('/v2/', headers)).toBe(200)
    expect(await statusOf(manifest, headers)).toBe(200)
    const token = await tokenFor('repository:team/app:pull', headers)
    expect(await statusOf('/v2/', token)).toBe(200)
    expect((await pull(edge.url, 'team/app', '1', { headers: token })).digest).toBe(image.manifest.digest)
  })

  test('gets a token by POST, too', async () => {
    const ask = (fields: Record<string, string>) =>
      fetch(`${edge.url}/service/token`, {
        method: 'POST',
        body: new URLSearchParams({ service: 'branch', client_id: 'containerd-client', ...fields }),
      })
    const scope = 'repository:team/app:pull repository:nothing/app:pull'
    const right = { grant_type: 'password', username: 'alice', password: 'wonderland', scope }
    const answer = await ask(right)
    expect(answer.status).toBe(200)
    const { access_token: token, expires_in: seconds } = (await answer.json()) as Record<string, string>
    expect(seconds).toBe(300)
    expect(await statusOf(manifest, { authorization: `Bearer ${token}` })).toBe(200)
    expect((await ask({ ...right, password: 'wonderlane' })).status).toBe(401)
    expect((await ask({ ...right, service: 'other' })).status).toBe(400)
    expect((await ask({ grant_type: 'refresh_token', refresh_token: String(token) })).status).toBe(401)
    expect((await ask({ ...right, scope: 'x'.repeat(70_000) })).status).toBe(413)
  })

  test.each([
    ['a wrong password', basic('alice', 'wonderlane'), ''],
    ['an unknown name', basic('carol', 'wonderland'), ''],
    ['no password', basic('alice', ''), ''],
    ['half a pair', { authorization: `Basic ${btoa('alice')}` }, ''],
    ['a token that is none', { authorization: 'Bearer x' }, ',error="invalid_token"'],
    ['something else', { authorization: 'Digest x' }, ',error="invalid_token"'],
  ])('is refused with %s, also what is public', async (_, headers, error) => {
    for (const path of ['/v2/', manifest, '/v2/docker.io/library/app/manifests/1']) {
      const { status, headers: said } = await fetchBlob(`${edge.url}${path}`, { headers, keep: true })
      expect(status).toBe(401)
      const challenged = String(said['www-authenticate'])
      expect(challenged.startsWith(`Bearer realm="${edge.url}/service/token",service="branch"`)).toBe(true)
      expect(challenged.endsWith(`"${error}`)).toBe(true)
    }
  })
})

describe('a token', () => {
  test('holds what was asked for and is allowed, and opens no more', async () => {
    const headers = basic('alice', 'wonderland')
    const scopes = [
      'repository:team/app:pull,push',
      'repository:own/app:*',
      'repository:nothing/app:pull,push',
      'registry:catalog:*',
    ]
    const answer = await fetch(`${edge.url}/service/token?service=branch&scope=${scopes.join('%20')}`, {
      headers,
    })
    const { token } = (await answer.json()) as { token: string }
    const keys = (await (await fetch(`${edge.url}/.well-known/jwks.json`)).json()) as JSONWebKeySet
    const { payload } = await jwtVerify(token, createLocalJWKSet(keys))
    expect([payload.sub, payload.access]).toEqual([
      'alice',
      [
        { type: 'repository', name: 'team/app', actions: ['pull', 'push'] },
        { type: 'repository', name: 'own/app', actions: ['pull', 'push', 'delete'] },
        { type: 'repository', name: 'nothing/app', actions: [] },
        { type: 'registry', name: 'catalog', actions: ['*'] },
      ],
    ])
    for (const scope of [
      'repository:team/ap:pull',
      'repository:team/app/sub:pull',
      'repository:team/app:push',
    ]) {
      const { status, headers: said } = await fetchBlob(`${edge.url}${manifest}`, {
        headers: await tokenFor(scope, headers),
      })
      expect(status).toBe(401)
      expect(said['www-authenticate']).toMatch(
        /,scope="repository:team\/app:pull",error="insufficient_scope"$/,
      )
    }
  })

  test('of nobody opens nothing private, and is none with another signature, another plane or no end', async () => {
    const scope = 'repository:team/app:pull'
    const answer = await fetch(`${edge.url}/service/token?service=branch&scope=${scope}`)
    const { token } = (await answer.json()) as { token: string }
    expect(await statusOf(manifest, { authorization: `Bearer ${token}` })).toBe(401)

    const access = [{ type: 'repository', name: 'team/app', actions: ['pull'] }]
    const claims = () => ({ access, iss: 'branch', aud: 'branch', sub: 'admin', jti: 'x' })
    const secret = new TextEncoder().encode(await (await fetch(`${edge.url}/.well-known/jwks.json`)).text())
    const [head = '', body = '', signature = ''] = token.split('.')
    const forged = [
      new UnsecuredJWT(claims()).setIssuedAt().setNotBefore('0s').setExpirationTime('5m').encode(),
      await new SignJWT(claims())
        .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
        .setIssuedAt()
        .setNotBefore('0s')
        .setExpirationTime('5m')
        .sign(secret),
      `${head}.${Buffer.from(JSON.stringify({ ...claims(), exp: 1e10, iat: 1e9, nbf: 0 })).toString('base64url')}.${signature}`,
      `${head}.${body}.`,
      `${head}.${body}`,
      `${head}.${body}.${signature.slice(0, -2)}AA`,
      '.'.repeat(10_000),
    ]
    for (const each of forged) {
      const { status, headers: said } = await fetchBlob(`${edge.url}${manifest}`, {
        headers: { authorization: `Bearer ${each}` },
      })
      expect([status, said['www-authenticate']]).toEqual([401, expect.stringContaining('invalid_token')])
    }
  })
})

describe('the file of users', () => {
  test('is followed, and a broken one is not', async () => {
    const bob = await tokenFor('repository:team/app:pull', basic('bob', 'builder'))
    await writeFile(users, `alice:${hashSync('looking glass', 4)}\n`)
    await expect.poll(() => statusOf('/v2/', basic('alice', 'looking glass')), { timeout: 15_000 }).toBe(200)
    expect(await statusOf('/v2/', basic('alice', 'wonderland'))).toBe(401)
    expect(await statusOf('/v2/', basic('bob', 'builder'))).toBe(401)
    expect(await statusOf(manifest, bob)).toBe(401)

    await writeFile(users, 'alice:plain text\n')
    await expect
      .poll(
        async () => {
          await statusOf('/v2/', basic('alice', 'looking glass'))
          return edge.output()
        },
        { timeout: 15_000 },
      )
      .toContain(`${users}:1: expected a bcrypt verifier`)
    expect(edge.output()).not.toContain('plain text')
    expect(await statusOf('/v2/', basic('alice', 'looking glass'))).toBe(200)
  })

  test.each([
    ['nothing', undefined, 'cannot read FILE: ENOENT'],
    ['another hash', 'x:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=\n', 'FILE:1: expected a bcrypt verifier'],
    ['no name', '\n:x\n', 'FILE:2: expected NAME:VERIFIER'],
    [
      'a name twice',
      `a:${hashSync('x', 4)}\na:${hashSync('x', 4)}\n`,
      'FILE:2: this name stands there twice',
    ],
    ['a costly hash', `a:${hashSync('x', 4).replace('$04$', '$31$')}\n`, 'of a cost up to 14'],
    ['the administrator', `admin:${hashSync('x', 4)}\n`, 'FILE:1: admin is the administrator'],
  ])('keeps the node from starting when it holds %s', async (_, text, told) => {
    await using folder = await temporaryDirectory()
    const file = join(folder.path, 'users')
    if (text !== undefined) await writeFile(file, text)
    const starting = startEdge({
      policies: { 'site.yaml': mirrorPolicy(upstream) },
      env: { OUTPORT_HTPASSWD: file },
    })
    await expect(starting).rejects.toThrow(told.replace('FILE', file))
  })
})

test('who guesses keeps nobody else waiting, and is told to wait', async () => {
  const guesses = Array.from({ length: 30 }, (_, at) => statusOf('/v2/', basic('admin', `guess ${at}`)))
  expect(await statusOf('/v2/', basic('alice', 'looking glass'))).toBe(200)
  const answers = await Promise.all(guesses)
  expect(new Set(answers)).toEqual(new Set([401, 429]))
})

test('who guesses many at once does not learn by that which users there are', async () => {
  const answersFor = async (name: string) => {
    const guesses = Array.from({ length: 20 }, (_, at) => statusOf('/v2/', basic(name, `at once ${at}`)))
    return (await Promise.all(guesses)).sort()
  }
  const [known, unknown] = [await answersFor('bob'), await answersFor('nobody')]
  expect(unknown).toContain(429)
  expect(unknown).toEqual(known)
})
