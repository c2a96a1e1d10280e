import { afterAll, beforeAll, expect, test } from 'vitest'
import { blobsOf, type ImageIndex } from '../../support/images.ts'
import { describeWith, type Tool } from '../../support/tools.ts'
import type { Client } from './client.ts'
import type { Machine } from './machine.ts'
import type { RegistryKind } from './registry.ts'
import { type Site, startSite } from './site.ts'

export interface PullSuiteOptions {
  name: string
  needs: readonly Tool[]
  start(machine: Machine): Client | Promise<Client>
  /** The registry by whose name the second image is pulled. Default docker.io, the only one that docker has mirrors for. */
  second?: 'docker.io' | 'ghcr.io'
  /** The client turns to the real registry when the edge does not have it. Default true. */
  fallsThrough?: boolean
}

const upstreams: readonly RegistryKind[] = ['distribution v3', 'docker-registry']

/** What every client must get from an edge, whatever real registry is behind it. Each test has a client without content. */
export function pullSuite(options: PullSuiteOptions): void {
  const { name, needs, fallsThrough = true } = options
  for (const upstream of upstreams) {
    describeWith([...needs, upstream, 'namespaces'], `${name}, from ${upstream}`, () => {
      let site: Site
      beforeAll(async () => {
        site = await startSite(upstream)
        await bringManifests(site, site.images.half)
        site.back.take()
      })
      afterAll(() => site?.[Symbol.asyncDispose]())

      test('cold: each content crosses the line once', async () => {
        await pullBoth(site, options)

        const contents = site.back.take().filter((line) => /^GET .*sha256:/.test(line))
        expect(contents).toEqual([...new Set(contents)])
        expect(blobsAskedIn(contents)).toEqual(
          expect.arrayContaining(layersOf(site.images.app, site.images.tool)),
        )
      })

      test('warm: upstream is asked for nothing', async () => {
        await pullBoth(site, options)

        expect(site.back.take()).toEqual([])
      })

      if (fallsThrough) {
        test('what upstream does not have comes from the registry itself', () =>
          pullPast(site, options, 'elsewhere'))
      }

      test('upstream gone: what is here is served', async () => {
        await site.cutUpstream()

        await pullBoth(site, options)
      })

      if (fallsThrough) {
        test('upstream gone: what is not here comes from the registry itself', () =>
          pullPast(site, options, 'elsewhere'))

        test('upstream gone: an image that is not all here comes from the registry itself', () =>
          pullPast(site, options, 'half', () => noticeTheCut(site)))
      }
    })
  }
}

/** One image by tag and another by digest, each layer from the edge, nothing past it. */
async function pullBoth(site: Site, { start, second = 'docker.io' }: PullSuiteOptions): Promise<void> {
  await using machine = await site.startMachine()
  const client = await start(machine)
  const { app, tool } = site.images
  site.front.take()

  expect(await client.pull('docker.io/library/app:1')).toContain(app.manifest.digest)
  expect(await client.pull(`${second}/library/tool@${tool.manifest.digest}`)).toContain(tool.manifest.digest)

  expect(site.hub.take()).toEqual([])
  expect(blobsAskedIn(site.front.take())).toEqual(expect.arrayContaining(layersOf(app, tool)))
}

async function pullPast(
  site: Site,
  { start }: PullSuiteOptions,
  name: 'elsewhere' | 'half',
  justBefore?: () => Promise<void>,
): Promise<void> {
  await using machine = await site.startMachine()
  const client = await start(machine)
  const image = site.images[name]
  await justBefore?.()
  site.front.take()

  expect(await client.pull(`docker.io/library/${name}:1`)).toContain(image.manifest.digest)

  expect(site.front.take()).not.toEqual([])
  expect(blobsAskedIn(site.hub.take())).toEqual(expect.arrayContaining(layersOf(image)))
}

/** As when somebody looked at the image, or lost patience. */
async function bringManifests({ edge }: Site, { manifest, images }: ImageIndex): Promise<void> {
  const digests = [manifest, ...images.map((image) => image.manifest)].map(({ digest }) => digest)
  for (const reference of [...digests, '1']) {
    const response = await fetch(new URL(`/v2/docker.io/library/half/manifests/${reference}`, edge))
    expect(response.status).toBe(200)
    await response.arrayBuffer()
  }
}

/** A node that has just failed to reach its upstream knows it for a few seconds. */
async function noticeTheCut({ edge }: Site): Promise<void> {
  for (const tag of ['unheard-of', 'unheard-of-too']) {
    const response = await fetch(new URL(`/v2/docker.io/library/half/manifests/${tag}`, edge))
    expect(response.status).toBe(503)
    await response.arrayBuffer()
  }
}

/** Of the first platform, which is that of this machine. */
function layersOf(...indexes: ImageIndex[]): string[] {
  return indexes.flatMap(({ images: [image] }) => (image ? blobsOf(image) : [])).map(({ digest }) => digest)
}

function blobsAskedIn(lines: readonly string[]): string[] {
  return lines.flatMap((line) => /^GET .*\/blobs\/(sha256:[0-9a-f]{64})/.exec(line)?.[1] ?? [])
}
