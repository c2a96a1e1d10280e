import { readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { commandsAt } from '../../../src/admin/client.ts'
import { socketName } from '../../../src/admin/socket.ts'
import { mediaTypes } from '../../../src/oci/manifest.ts'
import type { Edge } from '../../support/edge.ts'
import { startHosted } from '../../support/hosted.ts'
import { type Content, contentOf } from '../../support/images.ts'
import { pseudoRandomBytes } from '../../support/pseudo-random.ts'
import { createMixClient, type Found, type MixImage } from './push-mix-client.ts'
import { type Chance, chanceOf } from './soak.ts'
import { pathOf, storedDigests } from './stored.ts'

/** A node that several clients push to and delete from without a pause. */
export interface PushMix extends AsyncDisposable {
  /** Kills it after a moment, starts it again and looks at everything. @throws when something is not as it must be */
  kill(chance: Chance): Promise<MixAftermath>
}

export interface MixAftermath {
  /** Images that were acknowledged, each whole. */
  images: number
  /** Operations without an answer that had happened, and that had not; each as a whole. */
  happened: number
  lost: number
  /** Uploads that went on where the server said. */
  resumed: number
  /** Files of such operations, to which nothing points: `fsck --repair` took them away. */
  orphans: number
  /** From the start of the process until it listened. */
  readyMs: number
}

const clientCount = 4
const layerSizes = [1_000, 30_000, 70_000, 120_000, 200_000, 300_000, 450_000, 600_000, 900_000, 1_500_000]
const ownFiles = /^(outport\.db(-\w+)?|blobs|fills|uploads|quarantine|keys|node\.lock(\.json)?|admin\.sock)$/

export async function startPushMix(): Promise<PushMix> {
  const edge = await startHosted()
  const names = Array.from({ length: clientCount }, (_, at) => `team/app${at}`)
  const layers = layerSizes.map((size, at) => layerOf(size, at))
  const clients = names.map((repository) => {
    const others = names.filter((name) => name !== repository)
    const images = Array.from({ length: 8 }, (_, at) => imageOf(`${repository} ${at}`, layers, at))
    return createMixClient({ edge, repository, others, images })
  })
  const landed = async (id: string) => (await stat(join(edge.data, 'uploads', `${id}.upload`))).size

  return {
    async kill(chance) {
      const working = Promise.all(clients.map((client) => client.work(chanceOf(chance.below(2 ** 32)))))
      await Promise.race([pause(50 + chance.below(1500)), working])
      await edge.kill()
      await working
      const startedAt = performance.now()
      await edge.restart()
      const readyMs = performance.now() - startedAt
      const counted = await edge.metrics('outport_cache_bytes')
      const found = await Promise.all(clients.map((client) => client.check()))
      const orphans = await looked(edge, counted)
      const resumed = await Promise.all(clients.map((client) => client.resume(landed)))
      const count = (lost: Found['lost']) => found.filter((each) => each.lost === lost).length
      return {
        images: found.reduce((total, { images }) => total + images, 0),
        happened: count('happened'),
        lost: count('did not'),
        resumed: resumed.filter((isResumed) => isResumed).length,
        orphans,
        readyMs,
      }
    },
    [Symbol.asyncDispose]: () => edge[Symbol.asyncDispose](),
  }
}

/** @param counted what is stored, as the node said @returns how many files were there to which nothing points */
async function looked(edge: Edge, counted: number): Promise<number> {
  const sums = { rotten: 0, absent: 0, unknown: 0 }
  const commands = commandsAt(join(edge.data, socketName))
  for await (const event of commands.fsck({ repair: true }, AbortSignal.timeout(60_000)))
    if (event.kind === 'end') Object.assign(sums, event)
  if (sums.rotten + sums.absent > 0) throw new Error(`fsck finds ${JSON.stringify(sums)}`)
  // A client has one thing under way at a time.
  if (sums.unknown > clientCount) throw new Error(`nothing points to ${sums.unknown} files`)

  const blobs = (await storedDigests(edge.data)).map((digest) => pathOf(edge.data, digest))
  const uploads = (await readdir(join(edge.data, 'uploads'))).map((name) => join(edge.data, 'uploads', name))
  const sizes = await Promise.all([...blobs, ...uploads].map(async (file) => (await stat(file)).size))
  const there = sizes.reduce((total, size) => total + size, 0)
  if (counted !== there) throw new Error(`${there} bytes are there, ${counted} are counted`)

  const strange = await filesOutOfPlace(edge.data)
  if (strange.length > 0) throw new Error(`left over: ${strange.join(', ')}`)
  return sums.unknown
}

async function filesOutOfPlace(data: string): Promise<string[]> {
  const entries = await readdir(data, { recursive: true, withFileTypes: true })
  return entries
    .map((entry) => join(entry.parentPath, entry.name).slice(data.length + 1))
    .filter((name) => {
      const [top = '', ...rest] = name.split('/')
      if (rest.length === 0) return !ownFiles.test(top)
      if (top === 'uploads') return !/^[0-9a-f-]{36}\.upload$/.test(basename(name))
      if (top === 'blobs')
        return !/^sha(256|512)(\/[0-9a-f]{2}(\/[0-9a-f]{64,128}(\.extents)?)?)?$/.test(rest.join('/'))
      return top !== 'keys'
    })
}

function layerOf(size: number, at: number): Content {
  const bytes = Buffer.from(pseudoRandomBytes(size, `mix ${at}`))
  return contentOf('application/vnd.oci.image.layer.v1.tar', bytes)
}

/** Of two or three of the layers that all have. */
function imageOf(seed: string, layers: readonly Content[], at: number): MixImage {
  const json = (value: object) => Buffer.from(JSON.stringify(value))
  const describe = ({ mediaType, digest, bytes }: Content) => ({ mediaType, digest, size: bytes.length })
  const config = contentOf('application/vnd.oci.image.config.v1+json', json({ author: seed }))
  const own = layers.filter((_, layer) => (layer + at) % 4 === 0)
  const mediaType = mediaTypes.ociManifest
  const body = { schemaVersion: 2, mediaType, config: describe(config), layers: own.map(describe) }
  return { manifest: contentOf(mediaType, json(body)), blobs: [config, ...own] }
}
