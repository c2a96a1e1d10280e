import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { FaultSite } from '../faults/support/site.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { examine } from './support/diagnosis.ts'
import { type Asked, type Front, startFront, type Told } from './support/front.ts'
import { startDoctorSite } from './support/sites.ts'

let site: FaultSite
beforeAll(async () => {
  site = await startDoctorSite()
})
afterAll(() => site?.[Symbol.asyncDispose]())

const all = {
  'docker-old': 'ok',
  docker: 'ok',
  'containerd-1': 'ok',
  containerd: 'ok',
  k3s: 'ok',
  podman: 'ok',
  crane: 'ok',
}
const app = 'library/app:1'
const isManifest = ({ url }: Asked) => url.includes('/manifests/')
const isBlob = ({ url }: Asked) => url.includes('/blobs/')
const answers = (status: number, headers: Told['headers'] = {}, body = ''): Told => ({
  status,
  headers,
  body: Buffer.from(body),
})

/** A door whose answers to what `picks` are changed. */
function startChanging(
  picks: (asked: Asked) => boolean,
  change: (told: Told, asked: Asked) => Told,
): Promise<Front> {
  return startFront({
    target: site.edge.url,
    change: (told, asked) => (picks(asked) ? change(told, asked) : told),
  })
}

test('a node that is well, itself and behind something that changes nothing', async () => {
  expect(await examine(site.edge.url, { image: app })).toMatchObject({ mistakes: [], clients: all })
  await using front = await startFront({ target: site.edge.url })
  expect(await examine(front.url, { image: app })).toMatchObject({ mistakes: [], clients: all })
  expect(front.asked.filter(({ url }) => url.includes('ns=docker.io')).length).toBeGreaterThan(10)
})

test('without an image only names are tested, and upstream is asked for nothing', async () => {
  site.upstream.clear()
  const told = await examine(site.edge.url)
  expect(told).toMatchObject({ mistakes: [], notes: ['not-found'], clients: all })
  expect(site.upstream.requests).toEqual([])
})

const without = (name: string) => (told: Told) => ({
  ...told,
  headers: { ...told.headers, [name]: undefined },
})
const page = answers(200, { 'content-type': 'text/html' }, '<html>Welcome to the hotel</html>')

describe('something on the way that', () => {
  test.each<[string, string, (asked: Asked) => boolean, (told: Told, asked: Asked) => Told]>([
    ['shows a page to everybody', 'captive-portal', () => true, () => page],
    [
      'sends everybody to a login',
      'captive-portal',
      () => true,
      () => answers(302, { location: 'http://login.hotel/' }),
    ],
    ['shows a page instead of manifests', 'captive-portal', isManifest, () => page],
    ['drops Docker-Content-Digest', 'digest-missing', isManifest, without('docker-content-digest')],
    [
      'drops Docker-Distribution-Api-Version',
      'api-version-missing',
      () => true,
      without('docker-distribution-api-version'),
    ],
    [
      'compresses manifests',
      'encoded',
      (asked) => isManifest(asked) && asked.headers['accept-encoding'] !== undefined,
      (told) => ({
        ...told,
        headers: { ...told.headers, 'content-length': undefined, 'content-encoding': 'gzip' },
        body: gzipSync(told.body),
      }),
    ],
    [
      'changes manifests',
      'digest-wrong',
      isManifest,
      (told) => ({
        ...told,
        body: Buffer.from(told.body.toString().replace('schemaVersion":2', 'schemaVersion":3')),
      }),
    ],
    [
      'changes the type of manifests',
      'media-type-wrong',
      isManifest,
      (told) => ({
        ...told,
        headers: { ...told.headers, 'content-type': 'application/json' },
      }),
    ],
    ['cuts connections', 'cut', (asked) => isBlob(asked), (told) => ({ ...told, cutAt: 20 })],
    ['refuses', 'denied', isManifest, () => answers(403)],
    ['limits', 'too-many-requests', isManifest, () => answers(429)],
    [
      'has lost the node',
      'server-error',
      isManifest,
      () => answers(502, { 'content-type': 'text/html' }, '<html>'),
    ],
  ])('%s: %s', async (_, code, picks, change) => {
    await using front = await startChanging(picks, change)
    const told = await examine(front.url, { image: app })
    expect(told.mistakes).toEqual([code])
  })

  test('buffers away Range', async () => {
    await using front = await startFront({
      target: site.edge.url,
      ask: ({ headers: { range: _, ...headers }, ...asked }) => ({ ...asked, headers }),
    })
    const told = await examine(front.url, { image: app })
    expect(told.mistakes).toEqual(['range-ignored'])
    // Who goes on after a break, and who starts anew.
    expect(told.clients).toEqual({
      ...all,
      ...Object.fromEntries(
        ['docker-old', 'docker', 'containerd-1', 'containerd', 'k3s'].map((name) => [name, 'range-ignored']),
      ),
    })
  })
})

describe('where a client goes when the mirror has not got it', () => {
  const consequences = ({ lines }: { lines: Record<string, unknown>[] }) =>
    Object.fromEntries(
      lines.flatMap(({ client, consequence }) => (consequence ? [[client, consequence]] : [])),
    )

  test('a manifest: silently to the registry itself', async () => {
    const told = await examine(site.edge.url, { image: 'library/unheard-of:1' })
    expect(told.mistakes).toEqual(['not-found'])
    const after = consequences(told)
    expect(after['docker-old']).toMatch(/whole image from Docker Hub, and says nothing/)
    expect(after.containerd).toMatch(/asks the registry itself for this one/)
    expect(after.crane).toMatch(/fails/)
  })

  test('a layer: podman fails, the others go on elsewhere', async () => {
    await using front = await startChanging(isBlob, () => answers(503))
    const told = await examine(front.url, { image: app })
    expect(told.mistakes).toEqual(['server-error'])
    const after = consequences(told)
    expect(after['docker-old']).toMatch(/75 s/)
    expect(after.docker).toMatch(/this layer from the registry itself/)
    expect(after.podman).toMatch(/pull fails/)
  })

  test('a registry that nobody mirrors must be 404 at once', async () => {
    await using front = await startChanging(isManifest, () => answers(500))
    const told = await examine(front.url, { only: ['containerd'] })
    expect(told.mistakes).toEqual(['server-error'])
  })

  test('a door that does not tell registries apart by a path', async () => {
    await using front = await startFront({
      target: site.edge.url,
      change: (told, { url }) => (url.startsWith('/v2/docker.io/') ? answers(404) : told),
    })
    const told = await examine(front.url, { image: app })
    expect(told).toMatchObject({
      mistakes: ['path-form-unknown'],
      clients: { docker: 'ok', podman: 'path-form-unknown' },
    })
  })
})

describe('a door that asks for a login', () => {
  /** All but the realm asks, until it sees a token or alice's password. */
  async function startAsking(
    challenge: (front: () => Front) => string,
    realm: (asked: Asked) => Told,
  ): Promise<Front> {
    const front: Front = await startFront({
      target: site.edge.url,
      change(told, asked) {
        if (asked.url.startsWith('/token')) return realm(asked)
        const { authorization } = asked.headers
        const isKnown = authorization === 'Bearer good' || authorization === `Basic ${btoa('alice:right')}`
        return isKnown ? told : answers(401, { 'www-authenticate': challenge(() => front) })
      },
    })
    return front
  }
  const token = () => answers(200, { 'content-type': 'application/json' }, '{"token":"good"}')
  const bearer = (front: () => Front) => `Bearer realm="${front().url}/token",service="edge"`

  test('must not be a mirror: docker and containerd turn away, or hand over passwords', async () => {
    await using front = await startAsking(bearer, token)
    const told = await examine(front.url, { image: app })
    expect(told.mistakes).toEqual(['challenge'])
    expect(told.clients).toMatchObject({
      'docker-old': 'challenge',
      docker: 'challenge',
      containerd: 'challenge',
    })
    expect(told.clients).toMatchObject({ podman: 'ok', crane: 'ok' })
  })

  const only = { image: app, only: ['podman', 'crane'] as const }
  test.each<[string, string, (front: () => Front) => string, (asked: Asked) => Told]>([
    [
      'at a realm on another host',
      'realm-elsewhere',
      () => `Bearer realm="${site.upstream.url}/token",service="edge"`,
      token,
    ],
    [
      'at a realm that nobody finds',
      'realm-unreachable',
      () => 'Bearer realm="http://edge.invalid/token"',
      token,
    ],
    ['at a realm that gives no token', 'realm-unreachable', bearer, () => answers(500)],
    ['at a realm that refuses', 'credentials-refused', bearer, () => answers(401)],
    [
      'with a token that it then does not take',
      'credentials-refused',
      bearer,
      () => answers(200, {}, '{"token":"bad"}'),
    ],
    ['by a password that nobody has given', 'credentials-refused', () => 'Basic realm="edge"', token],
    ['in no words', 'challenge', () => '', token],
  ])('%s: %s', async (_, code, challenge, realm) => {
    await using front = await startAsking(challenge, realm)
    const told = await examine(front.url, { ...only, only: [...only.only] })
    expect(told.mistakes).toEqual([code])
  })

  test.each([
    ['right', []],
    ['wrong', ['credentials-refused']],
  ])('with the %s password in its files, which is shown to nobody', async (password, codes) => {
    await using machine = await temporaryDirectory()
    await using front = await startAsking(() => 'Basic realm="edge"', token)
    const auths = { [front.host]: { auth: btoa(`alice:${password}`) } }
    await mkdir(join(machine.path, 'root/.docker'), { recursive: true })
    await writeFile(join(machine.path, 'root/.docker/config.json'), JSON.stringify({ auths }))
    const told = await examine(front.url, { image: app, only: ['podman', 'crane'], root: machine.path })
    expect(told.mistakes).toEqual(codes)
    expect(JSON.stringify(told.lines)).not.toContain(password)
    expect(JSON.stringify(told.lines)).not.toContain(btoa(`alice:${password}`))
  })
})

test('it ends when a door hangs in the middle of everything', async () => {
  await using front = await startFront({
    target: site.edge.url,
    change: (told, asked) => (isBlob(asked) ? 'hang' : told),
  })
  const told = await examine(front.url, { image: app, answerMs: 500 })
  expect(told.mistakes).toEqual(['answer-timeout'])
})
