import { setTimeout as sleep } from 'node:timers/promises'
import { createTurns, type Turns } from '../../../src/flow/turns.ts'
import { parseManifest } from '../../../src/oci/manifest.ts'
import type { Edge } from '../../support/edge.ts'
import { fetchBlob } from '../../support/fetch-blob.ts'
import { basic, createPusher, password } from '../../support/hosted.ts'
import {
  blobsOf,
  buildImage,
  buildIndex,
  buildReferrer,
  type Content,
  type Image,
} from '../../support/images.ts'
import type { Chance } from './soak.ts'

/** Clients that push, mount, delete and pull the same few images in the same few repositories, over real sockets. */
export interface Mix {
  /** What one client does next. @param client puts and moves tags of its own */
  step(chance: Chance, client: number): Promise<void>
  counts(): Counts
  /** Everything that is acknowledged, at rest. */
  pullAll(): Promise<void>
  /** Every tag and its manifest. */
  deleteAll(): Promise<void>
  /** The node is about to be killed: what fails from now on counts for nothing. */
  interrupt(): void
  isInterrupted(): boolean
  resume(): void
}

export interface Counts {
  pushed: number
  mounted: number
  /** Blobs that were found here and not sent. */
  skipped: number
  deleted: number
  pulled: number
  /** Pushes that took so long that what they found may have gone. */
  late: number
  /** Pulls of what is acknowledged that failed, and manifests of pushes in progress that were refused. */
  failures: string[]
}

/** A manifest that a reference of a repository stands for, and what was pushed with it. */
interface Acknowledged {
  repository: string
  manifest: Content
}

const shown = basic('admin', password)
const repositories = ['team/one', 'team/two', 'team/three', 'open/four', 'open/five'] as const
const base = { seed: 'base', compression: 'none' } as const
/** Every other one has a layer that no other one has, besides one that all of those have. */
const images = Array.from({ length: 24 }, (_, at) =>
  buildImage({ ...base, layers: at % 2 === 0 ? [200_000, 50_000 + at * 20_000] : [50_000 + at * 20_000] }),
)
/** Of indexes only, so that nobody deletes them by their digests. */
const parts = ['linux/amd64', 'linux/arm64'].flatMap((platform) =>
  [0, 1].map((at) => buildImage({ ...base, platform, layers: [200_000, 1_000 + at] })),
)
const [a0, a1, b0, b1] = parts as [Image, Image, Image, Image]
const indexes = [
  [a0, b0],
  [a1, b1],
].map((each) => buildIndex(each.map((image) => ({ image }))))
const mostPauseMs = 800

/** @param graceMs for how long what a push found here stays */
export function createMix(edge: Edge, graceMs: number): Mix {
  const { send, putManifest } = createPusher(edge)
  const live = new Map<string, Acknowledged>()
  const turns = new Map<string, Turns>()
  const counts: Counts = { pushed: 0, mounted: 0, skipped: 0, deleted: 0, pulled: 0, late: 0, failures: [] }
  let interrupted = false
  let tags = 0

  function fail(what: string): void {
    if (!interrupted) counts.failures.push(what)
  }
  /** Who puts a manifest and who deletes it do so one after the other: else nobody could say what is acknowledged. */
  function alone<Value>(repository: string, { digest }: Content, work: () => Promise<Value>): Promise<Value> {
    const key = `${repository}@${digest}`
    const turn = turns.get(key) ?? createTurns()
    turns.set(key, turn)
    return turn.take(work)
  }
  const exists = async (path: string) => (await send('HEAD', `/v2/${path}`)).status === 200
  const pause = (chance: Chance) => sleep(chance.below(2) * chance.below(mostPauseMs))

  async function bringBlob(repository: string, { digest, bytes }: Content, chance: Chance): Promise<void> {
    // Some clients mount without a look.
    if (chance.below(2) === 0 && (await exists(`${repository}/blobs/${digest}`))) {
      counts.skipped += 1
      return
    }
    const from = chance.pick(repositories)
    const begun = await send('POST', `/v2/${repository}/blobs/uploads/?mount=${digest}&from=${from}`)
    if (begun.status === 201) {
      counts.mounted += 1
      return
    }
    const location = begun.headers.get('location') ?? ''
    const { status } = await send('PUT', `${location}&digest=${digest}`, { body: bytes })
    if (status !== 201) fail(`a blob was answered ${status}`)
  }
  /** @param reference absent: its digest, and nobody counts on it */
  async function put(
    repository: string,
    manifest: Content,
    beganAt: number,
    reference?: string,
  ): Promise<void> {
    await alone(repository, manifest, async () => {
      const key = `${repository}:${reference}`
      // Whether it is replaced is not known while it is on its way.
      live.delete(key)
      const { status, body } = await putManifest(repository, manifest, reference)
      const isLate = performance.now() - beganAt > graceMs
      if (isLate && status !== 201) counts.late += 1
      else if (status !== 201) fail(`the manifest of ${key} was answered ${status}: ${body}`)
      else if (reference !== undefined) live.set(key, { repository, manifest })
    })
    counts.pushed += 1
  }
  async function pushImage(
    repository: string,
    image: Image,
    chance: Chance,
    reference?: string,
  ): Promise<void> {
    const beganAt = performance.now()
    for (const blob of blobsOf(image)) await bringBlob(repository, blob, chance)
    await pause(chance)
    await put(repository, image.manifest, beganAt, reference)
  }
  async function pushIndex(repository: string, chance: Chance, reference: string): Promise<void> {
    const index = chance.pick(indexes as [(typeof indexes)[number]])
    const beganAt = performance.now()
    for (const image of index.images) {
      if (await exists(`${repository}/manifests/${image.manifest.digest}`)) continue
      await pushImage(repository, image, chance)
    }
    await put(repository, index.manifest, beganAt, reference)
  }
  async function pushReferrer({ repository, manifest: subject }: Acknowledged, chance: Chance) {
    const bytes = Buffer.from(`signature ${chance.below(4)}`)
    const referrer = buildReferrer({ subject, artifactType: 'text/x', bytes })
    await pushImage(repository, referrer, chance)
  }

  function anyLive(chance: Chance): [string, Acknowledged] | undefined {
    return [...live][chance.below(Math.max(1, live.size))]
  }
  async function remove(
    key: string,
    { repository, manifest }: Acknowledged,
    isByTag: boolean,
  ): Promise<void> {
    await alone(repository, manifest, async () => {
      for (const [each, { repository: of, manifest: other }] of live)
        if (isByTag ? each === key : of === repository && other.digest === manifest.digest) live.delete(each)
      const reference = isByTag ? key.slice(repository.length + 1) : manifest.digest
      const { status } = await send('DELETE', `/v2/${repository}/manifests/${reference}`)
      if (status !== 202 && status !== 404) fail(`a delete was answered ${status}`)
    })
    counts.deleted += 1
  }

  async function pull(key: string, expected: Acknowledged, chance?: Chance): Promise<void> {
    const { repository } = expected
    const wrong = await pullOf(repository, key.slice(repository.length + 1), expected.manifest, chance).catch(
      (error: Error) => error.message,
    )
    counts.pulled += 1
    if (wrong !== undefined && live.get(key) === expected) fail(`${key}: ${wrong}`)
  }
  /** @returns what was not as it should be */
  async function pullOf(
    repository: string,
    reference: string,
    { digest, mediaType }: Content,
    chance?: Chance,
  ): Promise<string | undefined> {
    const { status, body } = await send('GET', `/v2/${repository}/manifests/${reference}`)
    if (status !== 200) return `manifest ${reference} was answered ${status}`
    const { manifests, blobs } = parseManifest(body, mediaType)
    if (chance) await pause(chance)
    for (const child of manifests) {
      const wrong = await pullOf(repository, child.digest, { ...child, bytes: body }, chance)
      if (wrong !== undefined) return `of ${digest}: ${wrong}`
    }
    for (const blob of blobs) {
      const got = await fetchBlob(`${edge.url}/v2/${repository}/blobs/${blob.digest}`, { headers: shown })
      if (got.status !== 200 || got.sha256 !== blob.digest)
        return `blob ${blob.digest} of ${digest} was answered ${got.status}`
    }
    return undefined
  }

  /** What has just lost its manifest is found again, and is to be there when the next one comes. */
  async function replace(key: string, found: Acknowledged, chance: Chance, client: number): Promise<void> {
    const image = images.find(({ manifest }) => manifest.digest === found.manifest.digest)
    await remove(key, found, false)
    if (image) await pushImage(found.repository, image, chance, `again-${client}`)
  }

  async function any(chance: Chance, client: number): Promise<void> {
    const repository = chance.pick(repositories)
    const image = images[chance.below(images.length)] as Image
    const found = anyLive(chance)
    switch (chance.below(14)) {
      case 0:
      case 1:
        return pushImage(repository, image, chance, `tag-${client}-${tags++}`)
      case 2:
        return pushImage(repository, image, chance, `latest-${client}`)
      case 3:
        return pushIndex(repository, chance, `index-${client}`)
      case 4: {
        const [blob] = image.layers.slice(chance.below(2))
        return blob && bringBlob(repository, blob, chance)
      }
      case 5:
        return found && pushReferrer(found[1], chance)
      case 6:
      case 7:
      case 8:
        return found && remove(...found, chance.below(3) === 0)
      case 9:
      case 10:
      case 11:
        return found && replace(...found, chance, client)
      default:
        return found && pull(...found, chance)
    }
  }

  return {
    async step(chance, client) {
      try {
        await any(chance, client)
      } catch (error) {
        fail(String(error))
      }
    },
    counts: () => counts,
    async pullAll() {
      for (const [key, expected] of live) await pull(key, expected)
    },
    async deleteAll() {
      live.clear()
      for (const repository of repositories) {
        const { body } = await send('GET', `/v2/${repository}/tags/list`)
        for (const tag of JSON.parse(body.toString()).tags ?? [])
          await send('DELETE', `/v2/${repository}/manifests/${tag}`)
      }
    },
    interrupt() {
      interrupted = true
    },
    isInterrupted: () => interrupted,
    resume() {
      interrupted = false
    },
  }
}
