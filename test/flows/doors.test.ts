import { writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Edge, mirrorPolicy, startEdge } from '../support/edge.ts'
import { fetchBlob } from '../support/fetch-blob.ts'
import { buildImage, type Image } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { startUpstream, type Upstream } from '../support/upstream.ts'

const owned = new AsyncDisposableStack()
let hub: Upstream
let corp: Upstream
let edge: Edge
const images: Record<string, Image> = {}

async function upstreamWith(names: readonly string[]): Promise<Upstream> {
  const upstream = owned.use(await startUpstream())
  for (const name of names) {
    images[name] = buildImage({ layers: [2000], seed: name })
    upstream.addImage(name, '1', images[name])
  }
  return upstream
}

function policies(): Record<string, string> {
  return {
    'site.yaml': `
kind: registry
name: hub
type: docker-registry
url: ${hub.url}
ns: docker.io
---
kind: registry
name: corp
type: docker-registry
url: ${corp.url}
ns: harbor.corp
serveAs: [harbor.corp]
---
kind: project
name: docker.io
proxy: hub
public: true
---
kind: project
name: corp
proxy: corp
public: true
---
kind: project
name: team
proxy: { registry: corp, path: team }
public: true
---
kind: project
name: secret
proxy: { registry: corp, path: team/secret }
---
kind: project
name: some
proxy: { registry: corp, path: some }
public: ["open/**"]
`,
  }
}

beforeAll(async () => {
  hub = await upstreamWith(['library/app', 'acme/app', 'team/app', 'docker.io/odd'])
  corp = await upstreamWith([
    'team/app',
    'team/secret/app',
    'base/app',
    'some/open/app',
    'some/shut/app',
    'single',
  ])
  edge = owned.use(await startEdge({ policies: policies(), env: { OUTPORT_MIRROR_LISTEN: '127.0.0.1:0' } }))
})

afterAll(() => owned.disposeAsync())

async function digestAt(base: string, name: string, headers: Record<string, string> = {}): Promise<string> {
  const { status, headers: answered } = await fetchBlob(`${base}/v2/${name}`, { method: 'HEAD', headers })
  return status === 200 ? String(answered['docker-content-digest']) : String(status)
}

const digestOf = (name: string) => images[name]?.manifest.digest

describe('the registry face', () => {
  test.each([
    ['docker.io/acme/app', 'acme/app'],
    ['docker.io/app', 'library/app'],
    ['docker.io/library/app', 'library/app'],
    ['corp/base/app', 'base/app'],
    ['corp/single', 'single'],
    ['team/app', 'team/app'],
    ['some/open/app', 'some/open/app'],
  ])('%s is %s', async (name, upstream) => {
    const pulled = await pull(edge.url, name, '1')
    expect(pulled.digest).toBe(digestOf(upstream))
  })

  test.each([
    'acme/app',
    'library/app',
    'app',
    'single',
  ])('%s is no project, and the mirror has its own door', async (name) => {
    expect(await digestAt(edge.url, `${name}/manifests/1`)).toBe('401')
  })

  test.each([
    'secret/app',
    'some/shut/app',
  ])('%s is private: nobody gets it, and upstream is not asked', async (name) => {
    const before = corp.requests.length
    expect(await digestAt(edge.url, `${name}/manifests/1`)).toBe('401')
    expect(await digestAt(edge.url, `${name}/blobs/${digestOf('team/app')}`)).toBe('401')
    expect(await digestAt(edge.url, `${name}/tags/list`)).toBe('401')
    expect(await digestAt(edge.url, `${name}/referrers/${digestOf('team/app')}`)).toBe('401')
    expect(corp.requests.length).toBe(before)
  })

  test.each([
    ['GET', 'manifests/1'],
    ['HEAD', 'manifests/1'],
    ['GET', `blobs/sha256:${'a'.repeat(64)}`],
    ['GET', 'tags/list'],
    ['POST', 'blobs/uploads/'],
    ['PUT', 'manifests/1'],
    ['DELETE', 'manifests/1'],
  ])('a private project is answered as one that does not exist: %s %s', async (method, what) => {
    const [there, not] = await Promise.all(
      ['secret/app', 'nobody/app'].map((name) =>
        fetchBlob(`${edge.url}/v2/${name}/${what}`, { method, keep: true }),
      ),
    )
    expect(there?.status).toBe(401)
    expect(there?.status).toBe(not?.status)
    const challenged = String(there?.headers['www-authenticate'])
    expect(challenged).toMatch(/^Bearer realm=.*,scope="repository:secret\/app:/)
    expect(challenged.replace('secret', 'nobody')).toBe(not?.headers['www-authenticate'])
    expect(there?.body.toString().replace('secret', 'nobody')).toBe(not?.body.toString())
  })

  test('a private thing is answered as one that does not exist', async () => {
    const [there, not] = await Promise.all(
      ['secret/app', 'secret/nothing'].map((name) =>
        fetchBlob(`${edge.url}/v2/${name}/manifests/1`, { keep: true }),
      ),
    )
    expect(there?.status).toBe(not?.status)
    expect(there?.body.toString().replace('app', 'nothing')).toBe(not?.body.toString())
  })
})

describe('the ns parameter', () => {
  test('chooses among the registries of the site, and is said back', async () => {
    const answer = await fetchBlob(`${edge.url}/v2/base/app/manifests/1?ns=harbor.corp`)
    expect(answer.headers['oci-namespace']).toBe('harbor.corp')
    expect(answer.headers['docker-content-digest']).toBe(digestOf('base/app'))
  })

  test('lets the longest proxy path win', async () => {
    // team/secret is a private project of its own, although all of corp is a public one.
    expect(await digestAt(edge.url, 'team/secret/app/manifests/1?ns=harbor.corp')).toBe('401')
    expect(await digestAt(edge.url, 'team/app/manifests/1?ns=harbor.corp')).toBe(digestOf('team/app'))
  })

  test.each([
    '169.254.169.254',
    '127.0.0.1:6379',
    'docker.io%23@x',
    'DOCKER.IO',
    'docker.io.evil',
    'docker.io&ns=docker.io',
    '../',
    '',
    'hub',
  ])('never leads anywhere else: %s', async (ns) => {
    const before = hub.requests.length + corp.requests.length
    expect(await digestAt(edge.url, `library/app/manifests/1?ns=${ns}`)).toBe('404')
    expect(hub.requests.length + corp.requests.length).toBe(before)
  })
})

describe('the mirror face', () => {
  test.each([
    ['library/app', 'library/app'],
    ['app', 'library/app'],
    ['acme/app', 'acme/app'],
    ['team/app', 'team/app'],
    ['docker.io/odd', 'docker.io/odd'],
  ])('never looks at the first component: %s', async (name, upstream) => {
    expect((await pull(edge.mirrorUrl, name, '1')).digest).toBe(images[upstream]?.manifest.digest)
  })

  test('serves other registries by ns, but nothing private', async () => {
    expect(await digestAt(edge.mirrorUrl, 'base/app/manifests/1?ns=harbor.corp')).toBe(digestOf('base/app'))
    expect(await digestAt(edge.mirrorUrl, 'some/shut/app/manifests/1?ns=harbor.corp')).toBe('404')
  })

  test('challenges nobody and drops what credentials it is shown', async () => {
    for (const authorization of ['Basic YTpi', 'Bearer x', 'garbage']) {
      const ping = await fetchBlob(`${edge.mirrorUrl}/v2/`, { headers: { authorization } })
      expect([ping.status, ping.headers['www-authenticate']]).toEqual([200, undefined])
      await digestAt(edge.mirrorUrl, 'acme/app/manifests/1', { authorization })
    }
    const shown = [...hub.requests, ...corp.requests].filter(
      ({ headers }) => headers.authorization !== undefined,
    )
    expect(shown).toEqual([])
  })
})

describe('a name of somebody else', () => {
  const asCorp = { host: 'harbor.corp' }

  test.each([
    ['base/app', 'base/app'],
    ['team/app', 'team/app'],
    ['single', 'single'],
  ])('has its names: %s', async (name, upstream) => {
    expect(await digestAt(edge.url, `${name}/manifests/1`, asCorp)).toBe(digestOf(upstream))
  })

  test.each([
    ['corp/base/app', '404'],
    ['docker.io/library/app', '404'],
    ['team/secret/app', '401'],
  ])('and no other: %s', async (name, status) => {
    expect(await digestAt(edge.url, `${name}/manifests/1`, asCorp)).toBe(status)
  })

  test('knows itself by ns, and nothing else', async () => {
    expect(await digestAt(edge.url, 'base/app/manifests/1?ns=harbor.corp', asCorp)).toBe(digestOf('base/app'))
    expect(await digestAt(edge.url, 'library/app/manifests/1?ns=docker.io', asCorp)).toBe('404')
  })

  test('is the same with a port and in capitals', async () => {
    expect(await digestAt(edge.url, 'base/app/manifests/1', { host: 'HARBOR.corp:5000' })).toBe(
      digestOf('base/app'),
    )
  })
})

test('a site of public mirrors alone serves the default mirror at its registry door', async () => {
  await using only = await startEdge({
    policies: {
      'hub.yaml': `kind: registry\nname: hub\ntype: docker-registry\nurl: ${hub.url}\nns: docker.io\n---\nkind: project\nname: docker.io\nproxy: hub\npublic: true\n`,
    },
  })
  expect((await pull(only.url, 'library/app', '1', { ns: 'docker.io' })).digest).toBe(digestOf('library/app'))
  expect((await pull(only.url, 'app', '1')).digest).toBe(digestOf('library/app'))
  expect((await pull(only.url, 'docker.io/acme/app', '1')).digest).toBe(digestOf('acme/app'))
  const ping = await fetchBlob(`${only.url}/v2/`)
  expect([ping.status, ping.headers['www-authenticate']]).toEqual([200, undefined])
})

test('a request that has passed through this site already is not sent round again', async () => {
  await using relay = await startUpstream()
  relay.addImage('library/app', '1', buildImage({ layers: [10] }))
  await using looping = await startEdge({
    policies: {
      'hub.yaml': `kind: registry\nname: hub\ntype: docker-registry\nurl: ${relay.url}\nns: docker.io\n---\nkind: project\nname: docker.io\nproxy: hub\npublic: true\n`,
    },
  })
  await digestAt(looping.url, 'library/app/manifests/1')
  const via = String(relay.requests.at(-1)?.headers.via)
  expect(via).toMatch(/outport-/)
  expect(await digestAt(looping.url, 'library/app/manifests/1', { via })).toBe('508')
})

test('two sites that mirror each other notice it, instead of waiting for one another', async () => {
  await using owned = new AsyncDisposableStack()
  const policy = (url: string) => ({ 'p.yaml': mirrorPolicy({ url }) })
  await using placeholder = await startUpstream()
  const first = owned.use(await startEdge({ policies: policy(placeholder.url) }))
  const second = owned.use(await startEdge({ policies: policy(first.url) }))
  await writeFile(`${first.policies}/p.yaml`, policy(second.url)['p.yaml'])
  await first.logged(({ msg }) => msg === 'policies loaded')
  expect(await digestAt(first.url, 'library/app/manifests/1')).toBe('503')
  await first.logged(({ status, path }) => status === 508 && path === '/v2/library/app/manifests/1')
})
