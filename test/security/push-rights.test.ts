import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hashSync } from 'bcryptjs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Edge } from '../support/edge.ts'
import { basic, createPusher, type Pusher, password, startHosted } from '../support/hosted.ts'
import { buildImage, type Content } from '../support/images.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { startUpstream, type Upstream } from '../support/upstream.ts'

const owned = new AsyncDisposableStack()
const image = buildImage({ layers: [5000] })
const layer = image.layers[0] as Content
let upstream: Upstream
let edge: Edge
let admin: Pusher
let alice: Pusher
let nobody: Pusher

beforeAll(async () => {
  upstream = owned.use(await startUpstream())
  upstream.addImage('library/app', '1', image)
  const folder = owned.use(await temporaryDirectory())
  const users = join(folder.path, 'users')
  await writeFile(users, `alice:${hashSync('wonderland', 4)}\n`)
  const registry = {
    kind: 'registry',
    name: 'hub',
    type: 'docker-registry',
    url: upstream.url,
    ns: 'docker.io',
  }
  const proxies = [
    { kind: 'project', name: 'docker.io', proxy: 'hub', public: true },
    { kind: 'project', name: 'shut', proxy: 'hub' },
    { kind: 'project', name: 'both', proxy: 'hub', push: true, public: true },
    { kind: 'project', name: 'library' },
    { kind: 'project', name: 'parts', public: ['base/**'] },
  ]
  edge = owned.use(
    await startHosted({
      more: [registry, ...proxies],
      env: { OUTPORT_HTPASSWD: users, OUTPORT_MIRROR_LISTEN: '127.0.0.1:0' },
    }),
  )
  admin = createPusher(edge)
  alice = createPusher(edge, basic('alice', 'wonderland'))
  nobody = createPusher(edge, {})
  await admin.pushImage('team/app', image, '1')
})

afterAll(() => owned.disposeAsync())

async function withToken(scope: string): Promise<Pusher> {
  const { body } = await alice.send('GET', `/service/token?service=branch&scope=${scope}`)
  return createPusher(edge, { authorization: `Bearer ${JSON.parse(body.toString()).token}` })
}

const blob = `blobs/${layer.digest}`
const upload = 'blobs/uploads/'

/** Every way to the content of a repository. */
const everything: readonly [string, string][] = [
  ['GET', 'manifests/1'],
  ['HEAD', 'manifests/1'],
  ['GET', `manifests/${image.manifest.digest}`],
  ['GET', blob],
  ['HEAD', blob],
  ['GET', 'tags/list'],
  ['GET', `referrers/${image.manifest.digest}`],
  ['POST', upload],
  ['POST', `${upload}?mount=${layer.digest}&from=open/app`],
  ['POST', `${upload}?digest=${layer.digest}`],
  ['GET', `${upload}1`],
  ['PATCH', `${upload}1`],
  ['PUT', `${upload}1?digest=${layer.digest}`],
  ['DELETE', `${upload}1`],
  ['PUT', 'manifests/2'],
  ['DELETE', 'manifests/1'],
  ['DELETE', `manifests/${image.manifest.digest}`],
  ['DELETE', blob],
]

describe('nobody', () => {
  test.each(everything)('gets nothing of a private project, there or not: %s %s', async (method, path) => {
    const [there, not] = await Promise.all(
      ['team/app', 'nope/app'].map((name) => nobody.send(method, `/v2/${name}/${path}`)),
    )
    expect(there?.status).toBe(401)
    expect(there?.headers.get('www-authenticate')?.replace('team', 'nope')).toBe(
      not?.headers.get('www-authenticate'),
    )
    expect(there?.body.toString()).toBe(not?.body.toString())
  })

  test.each(
    everything.filter(([method]) => method !== 'GET' && method !== 'HEAD'),
  )('changes nothing of a public one: %s %s', async (method, path) => {
    for (const project of ['open', 'docker.io/library', 'both'])
      expect((await nobody.send(method, `/v2/${project}/app/${path}`)).status).toBe(401)
  })

  test('comes no further with a token of nobody', async () => {
    const scope = 'repository:team/app:pull,push,delete'
    const { body } = await nobody.send('GET', `/service/token?service=branch&scope=${scope}`)
    const shown = { authorization: `Bearer ${JSON.parse(body.toString()).token}` }
    for (const [method, path] of everything)
      expect((await createPusher(edge, shown).send(method, `/v2/team/app/${path}`)).status).toBe(401)
  })
})

describe('a mirror', () => {
  test.each(['docker.io/library/app', 'shut/library/app'])('is read-only for everybody: %s', async (name) => {
    for (const client of [admin, alice, await withToken(`repository:${name}:pull,push,delete`)]) {
      for (const [method, path] of everything.filter(([method]) => !/GET|HEAD/.test(method))) {
        const said = await client.send(method, `/v2/${name}/${path}`)
        expect([method, path, said.status, said.code]).toEqual([
          method,
          path,
          method === 'DELETE' ? 405 : 403,
          method === 'DELETE' ? 'UNSUPPORTED' : 'DENIED',
        ])
      }
    }
    expect(upstream.requests.filter(({ method }) => !/GET|HEAD/.test(method))).toEqual([])
  })

  test('door knows no pushing at all, whatever is shown', async () => {
    const there = createPusher({ url: edge.mirrorUrl })
    expect((await there.send('POST', '/v2/library/app/blobs/uploads/')).status).toBe(403)
    expect((await there.send('POST', '/v2/team/app/blobs/uploads/')).status).toBe(403)
    expect((await there.send('GET', '/v2/_catalog')).status).toBe(405)
    expect((await there.send('GET', '/service/token?service=branch')).status).toBe(404)
  })
})

describe('mounting', () => {
  const mount = (client: Pusher, name: string, query: string) =>
    client.send('POST', `/v2/${name}/${upload}?${query}`)
  const has = async (name: string) => (await admin.send('HEAD', `/v2/${name}/${blob}`)).status
  let count = 0

  test('gives what the caller may read there', async () => {
    const said = await mount(alice, 'team/mounted', `mount=${layer.digest}&from=team%2Fapp`)
    expect([said.status, said.headers.get('location')]).toEqual([201, `/v2/team/mounted/${blob}`])
    expect(said.headers.get('docker-content-digest')).toBe(layer.digest)
    expect(await has('team/mounted')).toBe(200)
  })

  test('without a word of where from, too', async () => {
    expect((await mount(alice, 'team/anonymous', `mount=${layer.digest}`)).status).toBe(201)
    expect(await has('team/anonymous')).toBe(200)
  })

  test.each([
    ['a repository that the token does not hold', () => `mount=${layer.digest}&from=team/app`],
    ['any, none of which the token holds', () => `mount=${layer.digest}`],
    ['a repository that is none', () => `mount=${layer.digest}&from=team/app%00`],
    ['a name in capitals', () => `mount=${layer.digest}&from=TEAM/app`],
    ['a repository without it', () => `mount=sha256:${'0'.repeat(64)}&from=team/target`],
    ['a digest in capitals', () => `mount=${layer.digest.toUpperCase()}&from=team/app`],
    ['a parameter in capitals', () => `MOUNT=${layer.digest}&FROM=team/app`],
  ])('is an upload like any other from %s', async (_, query) => {
    const name = `team/target${count++}`
    const client = await withToken(`repository:${name}:pull,push`)
    const said = await mount(client, name, query())
    expect([said.status, said.headers.get('location')]).toEqual([
      202,
      expect.stringContaining(`/v2/${name}/blobs/uploads/`),
    ])
    expect(await has(name)).toBe(404)
  })

  test.each([
    ['two repositories', () => `mount=${layer.digest}&from=open/app&from=team/app`],
    ['two digests', () => `mount=${layer.digest}&mount=${layer.digest}&from=team/app`],
  ])('is refused from %s', async (_, query) => {
    expect((await mount(admin, 'team/twice', query())).status).toBe(400)
    expect(await has('team/twice')).toBe(404)
  })

  test('asks for a token that reads there, too', async () => {
    const said = await mount(nobody, 'team/asks', `mount=${layer.digest}&from=team/app`)
    expect(said.headers.get('www-authenticate')).toContain(
      'scope="repository:team/asks:pull,push repository:team/app:pull"',
    )
    const odd = await mount(nobody, 'team/asks', `mount=${layer.digest}&from=team/%22app`)
    expect(odd.headers.get('www-authenticate')).toMatch(/scope="repository:team\/asks:pull,push"$/)
  })

  test('takes what a token holds of both, and what anybody may read', async () => {
    const both = await withToken('repository:team/both:pull,push%20repository:team/app:pull')
    expect((await mount(both, 'team/both', `mount=${layer.digest}&from=team/app`)).status).toBe(201)
    await admin.pushImage('open/app', image, '1')
    const one = await withToken('repository:team/one:pull,push')
    expect((await mount(one, 'team/one', `mount=${layer.digest}`)).status).toBe(201)
  })

  test('into a mirror is not possible', async () => {
    expect((await mount(admin, 'docker.io/library/x', `mount=${layer.digest}&from=team/app`)).status).toBe(
      403,
    )
  })
})

describe('a digest that is known', () => {
  test('opens nothing where it was not pushed, warm or cold', async () => {
    for (let round = 0; round < 2; round++) {
      for (const name of ['team/other', 'open/other', 'parts/base/other']) {
        for (const path of [blob, `manifests/${image.manifest.digest}`])
          expect((await admin.send('GET', `/v2/${name}/${path}`)).status).toBe(404)
      }
      expect((await admin.send('GET', `/v2/team/app/${blob}`)).status).toBe(200)
      await edge.restart()
    }
  })
})

describe('the names', () => {
  test('of one component are in library, where that is pushed to', async () => {
    await admin.pushImage('tool', image, '1')
    expect((await admin.send('GET', '/v2/library/tool/manifests/1')).status).toBe(200)
    expect((await admin.send('GET', '/v2/tool/manifests/1')).status).toBe(200)
  })

  test('that are listed are those that the caller may see', async () => {
    await admin.pushImage('parts/base/app', image)
    await admin.pushImage('parts/shut/app', image)
    const list = async (client: Pusher, query = '') => {
      const { status, body, headers } = await client.send('GET', `/v2/_catalog${query}`)
      return { status, link: headers.get('link'), names: JSON.parse(body.toString()).repositories }
    }
    const open = ['open/app', 'parts/base/app']
    expect(await list(nobody)).toEqual({ status: 200, link: null, names: open })
    const all = (await list(alice)).names
    expect(all).toEqual([...all].sort())
    expect(all).toEqual(expect.arrayContaining([...open, 'library/tool', 'parts/shut/app', 'team/app']))
    const first = await list(nobody, '?n=1')
    expect(first).toEqual({
      status: 200,
      link: '</v2/_catalog?n=1&last=open%2Fapp>; rel="next"',
      names: ['open/app'],
    })
    expect((await list(nobody, '?n=1&last=open/app')).names).toEqual(['parts/base/app'])
    expect((await list(nobody, '?last=parts/c')).names).toEqual([])
    expect((await list(await withToken('registry:catalog:*'))).names).toEqual(all)
    expect((await list(await withToken('repository:team/app:pull'))).status).toBe(401)
  })
})

test('a token for pulling pushes and deletes nothing', async () => {
  const client = await withToken('repository:team/app:pull')
  for (const [method, path] of everything) {
    const { status, headers } = await client.send(method, `/v2/team/app/${path}`)
    if (/GET|HEAD/.test(method) && !path.startsWith(upload)) expect(status).toBe(200)
    else {
      expect(status).toBe(401)
      expect(headers.get('www-authenticate')).toContain('error="insufficient_scope"')
    }
  }
})

test('the password of an account is not taken for that of another', async () => {
  expect((await createPusher(edge, basic('alice', password)).send('GET', '/v2/')).status).toBe(401)
  expect((await createPusher(edge, basic('admin', 'wonderland')).send('GET', '/v2/')).status).toBe(401)
})
