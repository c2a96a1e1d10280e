import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { basic, createPusher, type Pusher, password } from '../support/hosted.ts'
import { buildImage, buildIndex } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { describeWith } from '../support/tools.ts'
import { type PushSite, startPushSite } from './support/push-site.ts'
import { type PushClient, type Pushing, pushClients } from './support/pushing.ts'

const amd64 = buildImage({ layers: [1024, 200_000, 3_000_000] })
const arm64 = buildImage({ layers: [5000], platform: 'linux/arm64' })
const index = buildIndex([{ image: amd64 }, { image: arm64 }])
const shown = basic('admin', password)

describe.each([
  ['http', false],
  ['https', true],
])('over %s', (_, isSecure) => {
  let site: PushSite
  let pusher: Pusher

  beforeAll(async () => {
    site = await startPushSite({ isSecure })
    pusher = createPusher(site.edge)
    await pusher.pushIndex('open/app', index, '1')
  })
  afterAll(() => site[Symbol.asyncDispose]())

  for (const client of pushClients) {
    describeWith([...client.needs, 'namespaces'], client.name, () => {
      test('logs in, pushes, and what comes back is what it pushed', { timeout: 180_000 }, async () => {
        await using machine = await site.startMachine()
        const pushing = await client.start(machine, site)
        const path = `team/${client.name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}`

        const digest = await copies(client, pushing, path)
        // The rest is the same with TLS.
        if (isSecure) return
        await lists(pushing, path)
        await pushesUnderDigests(client, pushing, path, digest)
        await joins(pushing, path)
        await removes(pushing, path)
      })
    })
  }

  async function copies({ keeps }: PushClient, pushing: Pushing, path: string): Promise<string> {
    const to = `${site.host}/${path}`
    const digest = await pushing.copy(`${site.host}/open/app:1`, `${to}:1`)

    const got = await pull(site.edge.url, path, '1', { headers: shown })
    expect(got.digest).toBe(digest)
    if (keeps === 'index') expect(digest).toBe(index.manifest.digest)
    if (keeps === 'image') expect([amd64.manifest.digest, index.manifest.digest]).toContain(digest)
    expect(await pushing.pull(`${to}:1`)).toContain(digest)
    expect(await pushing.pull(`${to}@${digest}`)).toContain(digest)
    const { status } = await createPusher(site.edge, {}).send('GET', `/v2/${path}/manifests/1`)
    expect(status).toBe(401)
    return digest
  }

  async function lists({ tags, repositories }: Pushing, path: string): Promise<void> {
    if (tags) expect(await tags(`${site.host}/${path}`)).toEqual(['1'])
    if (repositories) expect(await repositories()).toContain(path)
  }

  async function pushesUnderDigests(client: PushClient, pushing: Pushing, path: string, digest: string) {
    if (!client.pushesDigests) return
    const other = `${path}/other`
    await pushing.copy(`${site.host}/${path}:1`, `${site.host}/${other}@${digest}`)
    expect((await pull(site.edge.url, other, digest, { headers: shown })).digest).toBe(digest)
    expect((await pusher.send('GET', `/v2/${other}/tags/list`)).body.toString()).not.toContain('"1"')
  }

  async function joins({ join }: Pushing, path: string): Promise<void> {
    if (!join) return
    await pusher.pushImage(path, amd64, 'amd64')
    await pusher.pushImage(path, arm64, 'arm64')
    const to = `${site.host}/${path}`
    const digest = await join([`${to}:amd64`, `${to}:arm64`], `${to}:joined`)

    for (const image of [amd64, arm64]) {
      const { platform } = image
      const got = await pull(site.edge.url, path, 'joined', { headers: shown, platform })
      expect(got.digest).toBe(digest)
      expect(got.steps.map((step) => step.digest)).toContain(image.manifest.digest)
    }
  }

  async function removes({ remove }: Pushing, path: string): Promise<void> {
    if (!remove) return
    const statusOf = async (reference: string) =>
      (await pusher.send('GET', `/v2/${path}/manifests/${reference}`)).status
    const { digest } = amd64.manifest
    await pusher.pushImage(path, amd64, 'gone')
    await remove(`${site.host}/${path}:gone`)
    expect(await statusOf('gone')).toBe(404)
    await pusher.pushImage(path, amd64, 'gone')
    await remove(`${site.host}/${path}@${digest}`)
    expect([await statusOf('gone'), await statusOf(digest)]).toEqual([404, 404])
  }
})
