import { spawnSync } from 'node:child_process'
import { chmod, chown, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Edge, mirrorPolicy, startEdge } from '../support/edge.ts'
import { type Fetched, fetchBlob } from '../support/fetch-blob.ts'
import { buildImage, type Content } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { canMount } from '../support/tmpfs.ts'
import { startUpstream, type Upstream } from '../support/upstream.ts'
import { isWhole, layerOf, repository } from './support/site.ts'
import { storedDigests } from './support/stored.ts'

const kept = buildImage({ layers: [900_000], seed: 'kept' })
const wanted = buildImage({ layers: [900_000], seed: 'wanted' })
const nobody = 65534

interface Disk {
  upstream: Upstream
  edge: Edge
  /** The folder behind the mount that the edge knows as its data. */
  behind: string
  blob(blob: Content): Promise<Fetched>
}

function mount(...args: readonly string[]): void {
  const { status, stderr } = spawnSync('mount', args)
  if (status !== 0) throw new Error(`mount: ${stderr}`)
}

/** An edge of a plain user, whose data is on a mount of its own and holds {@link kept}. */
async function startOnMount(): Promise<Disk & AsyncDisposable> {
  await using owned = new AsyncDisposableStack()
  const { path } = owned.use(await temporaryDirectory())
  const [behind, data, policies] = ['behind', 'data', 'policies'].map((name) => join(path, name)) as [
    string,
    string,
    string,
  ]
  for (const folder of [behind, data, policies]) await mkdir(folder)
  await chmod(path, 0o755)
  await chown(behind, nobody, nobody)
  const upstream = owned.use(await startUpstream())
  await writeFile(join(policies, 'p.yaml'), mirrorPolicy(upstream))
  mount('--bind', behind, data)
  owned.defer(() => void spawnSync('umount', ['--lazy', data]))
  const through = ['setpriv', `--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups']
  const edge = owned.use(await startEdge({ policies, data, through }))
  upstream.addImage(repository, '1', kept)
  upstream.addImage(repository, '2', wanted)
  await pull(edge.url, repository, '1')
  const held = owned.move()
  return {
    upstream,
    edge,
    behind,
    blob: (blob) => fetchBlob(`${edge.url}/v2/${repository}/blobs/${blob.digest}`, { keep: true }),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

function fileOf(data: string, { digest }: Content): string {
  const hex = digest.slice('sha256:'.length)
  return join(data, 'blobs', 'sha256', hex.slice(0, 2), hex)
}

/** What can happen to it while it is in use, and how that ends. */
const losses: Readonly<Record<string, { begin(disk: Disk): unknown; end(disk: Disk): unknown }>> = {
  'cannot be written any more': {
    begin: ({ edge, behind }) => mount('--bind', '-o', 'ro', behind, edge.data),
    end: ({ edge }) => spawnSync('umount', [edge.data]),
  },
  'has vanished': {
    begin: ({ edge }) => spawnSync('umount', ['--lazy', edge.data]),
    end: ({ edge, behind }) => mount('--bind', behind, edge.data),
  },
  'belongs to somebody else': {
    begin: ({ behind }) => chown(behind, 0, 0).then(() => chmod(behind, 0o700)),
    end: ({ behind }) => chown(behind, nobody, nobody),
  },
  'has a layer that nobody may read': {
    begin: ({ behind }) => chmod(fileOf(behind, layerOf(kept)), 0),
    end: ({ behind }) => chmod(fileOf(behind, layerOf(kept)), 0o600),
  },
}

/** As it should be, or a no that lets the client ask elsewhere. */
function expectHonest(answer: Fetched, digest: string): void {
  if (answer.status === 200) {
    if (answer.complete) expect(answer.sha256).toBe(digest)
    return
  }
  expect(answer.status).toBe(503)
  expect(JSON.parse(answer.body.toString())).toMatchObject({ errors: [{ code: 'UNAVAILABLE' }] })
}

describe.skipIf(!canMount())('while the disk', () => {
  for (const [what, { begin, end }] of Object.entries(losses)) {
    test(`${what}, pulls are answered or refused in order, and work again when it is back`, async () => {
      await using disk = await startOnMount()
      const { edge, upstream } = disk
      const layer = layerOf(wanted)
      using stall = upstream.fault({ on: { kind: 'blob', digest: layer.digest }, times: 1, stallAt: 400_000 })
      const { digest } = wanted.manifest
      expectHonest(await fetchBlob(`${edge.url}/v2/${repository}/manifests/2`, { keep: true }), digest)
      const running = disk.blob(layer)
      await stall.struck()

      await begin(disk)
      stall.release()

      const answers = [await running, await disk.blob(layerOf(kept)), await disk.blob(layer)]
      for (const [at, blob] of [layer, layerOf(kept), layer].entries()) {
        expectHonest(answers[at] as Fetched, blob.digest)
      }
      const cold = buildImage({ layers: [10], seed: 'cold' })
      upstream.addImage(repository, '3', cold)
      const manifest = await fetchBlob(`${edge.url}/v2/${repository}/manifests/3`, { keep: true })
      expectHonest(manifest, cold.manifest.digest)
      expect((await fetchBlob(`${edge.url}/livez`)).status).toBe(200)

      await end(disk)

      for (const [tag, image] of Object.entries({ 1: kept, 2: wanted, 3: cold })) {
        const digestOf = () => pull(edge.url, repository, tag).then((pulled) => pulled.digest)
        await expect.poll(() => digestOf().catch(String)).toBe(image.manifest.digest)
      }
      expect(await storedDigests(edge.data)).toContain(layer.digest)
      expect(edge.output()).not.toMatch(/uncaught exception|unhandled rejection/)
      expect(isWhole(await disk.blob(layer))).toBe(true)
      expect(await edge.stop()).toEqual({ code: 0, signal: null })
    })
  }
})
