import { mediaTypes } from '../../../src/oci/manifest.ts'
import { createPusher, type Pusher, type Said } from '../../support/hosted.ts'
import { type Content, contentOf } from '../../support/images.ts'
import { type Holding, held, observe } from './holding.ts'
import type { Chance } from './soak.ts'

/** A manifest and the blobs it needs. */
export interface MixImage {
  manifest: Content
  blobs: readonly Content[]
}

/** An upload that a kill has broken off. */
interface BrokenUpload {
  /** As the server told last. */
  location: string
  content: Content
  /** Bytes that the server has said are there, and that were sent. */
  acknowledged: number
  sent: number
  /** The request that makes it a blob was sent. */
  isClosing: boolean
}

/** What a client finds after a kill. */
export interface Found {
  /** Manifests of which every byte, and every byte of every blob, was as acknowledged. */
  images: number
  /** The one operation that had no answer: did it happen, as a whole? */
  lost: 'none' | 'happened' | 'did not'
}

/** Pushes to one repository and deletes from it, one thing after another, and knows what it must hold. */
export interface MixClient {
  /** Settles when the node is gone. @throws for an answer that is wrong */
  work(chance: Chance): Promise<void>
  /** Looks at the repository after a start. @throws when it is not as it was acknowledged */
  check(): Promise<Found>
  /**
   * Goes on with the upload that was broken off.
   * @param landed how much is in the file of an upload
   * @returns whether there was one @throws when the server says another place than that
   */
  resume(landed: (id: string) => Promise<number>): Promise<boolean>
}

export interface MixClientOptions {
  edge: { readonly url: string }
  repository: string
  /** From which it mounts. */
  others: readonly string[]
  images: readonly MixImage[]
}

const tags = ['1', '2', 'latest']

export function createMixClient({ edge, repository, others, images }: MixClientOptions): MixClient {
  const client = (): Pusher => createPusher(edge)
  const blobs = new Map(images.flatMap((image) => image.blobs.map((blob) => [blob.digest as string, blob])))
  const manifests = new Map(images.map(({ manifest }) => [manifest.digest as string, manifest]))
  let now = held()
  /** What the repository holds if the operation that is under way happens. */
  let next: Holding | undefined
  let upload: BrokenUpload | undefined

  async function expected(said: Promise<Said>, ...statuses: number[]): Promise<Said> {
    const answer = await said
    if (!statuses.includes(answer.status))
      throw new Error(`${repository}: answered ${answer.status} ${answer.body}, not ${statuses.join(' or ')}`)
    return answer
  }
  async function change(after: Holding, said: () => Promise<Said>, ...statuses: number[]): Promise<void> {
    next = after
    await expected(said(), ...statuses)
    now = after
    next = undefined
  }

  async function bring(chance: Chance, blob: Content): Promise<void> {
    const after = held(now)
    after.blobs.add(blob.digest)
    const path = `/v2/${repository}/blobs/uploads/`
    const way = chance.pick(['mount', 'at once', 'in one piece', 'in chunks', 'in chunks'])
    if (way === 'at once')
      return change(
        after,
        () => client().send('POST', `${path}?digest=${blob.digest}`, { body: blob.bytes }),
        201,
      )
    next = after
    const query = way === 'mount' ? `?mount=${blob.digest}&from=${others[chance.below(others.length)]}` : ''
    const begun = await expected(client().send('POST', `${path}${query}`), 201, 202)
    if (begun.status === 202) await send(chance, blob, begun, way === 'in chunks')
    now = after
    next = undefined
  }

  async function send(chance: Chance, content: Content, begun: Said, inChunks: boolean): Promise<void> {
    const { bytes, digest } = content
    const last = inChunks ? chance.below(bytes.length) : 0
    upload = { content, location: locationOf(begun), acknowledged: 0, sent: 0, isClosing: false }
    while (upload.sent < last) {
      const from = upload.sent
      upload.sent = Math.min(last, from + 1000 + chance.below(200_000))
      const body = bytes.subarray(from, upload.sent)
      const headers = { 'content-range': `${from}-${upload.sent - 1}` }
      upload.location = locationOf(
        await expected(client().send('PATCH', upload.location, { body, headers }), 202),
      )
      upload.acknowledged = upload.sent
    }
    await close(upload, upload.sent, digest)
  }

  async function close(open: BrokenUpload, from: number, digest: string): Promise<void> {
    const body = open.content.bytes.subarray(from)
    open.sent = open.content.bytes.length
    open.isClosing = true
    await expected(client().send('PUT', `${open.location}&digest=${digest}`, { body }), 201)
    upload = undefined
  }

  async function push(chance: Chance): Promise<void> {
    const image = images[chance.below(images.length)]
    if (!image) return
    for (const blob of image.blobs) if (!now.blobs.has(blob.digest)) await bring(chance, blob)
    await put(chance, image.manifest)
  }
  async function join(chance: Chance): Promise<void> {
    const children = images.filter(({ manifest }) => now.manifests.has(manifest.digest)).slice(0, 2)
    const list = children.map(({ manifest: { mediaType, digest, bytes } }) => ({
      mediaType,
      digest,
      size: bytes.length,
    }))
    const body = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: list }
    const index = contentOf(mediaTypes.ociIndex, Buffer.from(JSON.stringify(body)))
    manifests.set(index.digest, index)
    await put(chance, index)
  }
  async function put(chance: Chance, manifest: Content): Promise<void> {
    const named = tags.filter(() => chance.below(2) === 0)
    const after = held(now)
    after.manifests.add(manifest.digest)
    for (const tag of named) after.tags.set(tag, manifest.digest)
    const [only, ...more] = named
    const reference =
      only !== undefined && more.length === 0
        ? only
        : `${manifest.digest}?${named.map((tag) => `tag=${tag}`).join('&')}`
    await change(after, () => client().putManifest(repository, manifest, reference), 201)
  }

  async function untag(chance: Chance): Promise<void> {
    const tag = pickOf(chance, [...now.tags.keys()])
    if (tag === undefined) return
    const after = held(now)
    after.tags.delete(tag)
    await change(after, () => client().send('DELETE', `/v2/${repository}/manifests/${tag}`), 202)
  }
  async function remove(chance: Chance): Promise<void> {
    const digest = pickOf(chance, [...now.manifests])
    if (digest === undefined) return
    const after = held(now)
    after.manifests.delete(digest)
    for (const [tag, of] of after.tags) if (of === digest) after.tags.delete(tag)
    await change(after, () => client().send('DELETE', `/v2/${repository}/manifests/${digest}`), 202)
  }
  async function removeBlob(chance: Chance): Promise<void> {
    const needed = new Set(imagesHeld().flatMap((image) => image.blobs.map((blob) => blob.digest as string)))
    const digest = pickOf(
      chance,
      [...now.blobs].filter((each) => !needed.has(each)),
    )
    if (digest === undefined) return
    const after = held(now)
    after.blobs.delete(digest)
    await change(after, () => client().send('DELETE', `/v2/${repository}/blobs/${digest}`), 202)
  }
  const imagesHeld = () => images.filter(({ manifest }) => now.manifests.has(manifest.digest))

  return {
    async work(chance) {
      // Never all of them are there, so that blobs come all the time.
      const kinds = [push, push, push, push, push, join, untag, remove, remove, remove] as const
      try {
        for (;;) {
          await chance.pick(kinds)(chance)
          await removeBlob(chance)
        }
      } catch (error) {
        if (!isGone(error)) throw error
      }
    },
    async check() {
      const found = await observe(client(), repository, manifests, blobs)
      const [before, after] = [now, next ?? now].map((each) => each.text())
      if (found.text() !== before && found.text() !== after)
        throw new Error(`${repository} holds ${found.text()}, not ${before}${next ? ` or ${after}` : ''}`)
      const lost = !next || before === after ? 'none' : found.text() === after ? 'happened' : 'did not'
      now = found
      next = undefined
      return { images: imagesHeld().length, lost }
    },
    async resume(landed) {
      const open = upload
      if (!open) return false
      const { location, content, acknowledged, sent } = open
      const looked = await expected(client().send('GET', location), ...(open.isClosing ? [204, 404] : [204]))
      if (looked.status === 404) {
        upload = undefined
        return false
      }
      const last = Number(looked.headers.get('range')?.split('-')[1])
      const offset = last === 0 ? 0 : last + 1
      const there = await landed(looked.headers.get('docker-upload-uuid') ?? '')
      if (offset !== there || offset < acknowledged || offset > sent)
        throw new Error(
          `${repository}: goes on at ${offset}; ${there} bytes are there, ${acknowledged} to ${sent} were sent`,
        )
      open.location = locationOf(looked)
      await close(open, offset, content.digest)
      now.blobs.add(content.digest)
      return true
    },
  }
}

/** So `fetch` says that there is nobody, or nobody any more. */
function isGone(error: unknown): boolean {
  return error instanceof TypeError && (error.message === 'fetch failed' || error.message === 'terminated')
}

function pickOf<Value>(chance: Chance, values: readonly Value[]): Value | undefined {
  return values[chance.below(values.length)]
}

function locationOf({ headers }: Said): string {
  return headers.get('location') ?? ''
}
