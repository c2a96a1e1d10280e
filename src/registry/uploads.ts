import { type DiskWatch, isDiskFull } from '../flow/disk-trouble.ts'
import { type HttpContext, signalOf } from '../http/context.ts'
import { receive } from '../http/request-body.ts'
import type { Usage } from '../jobs/usage.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { Metrics } from '../metrics.ts'
import {
  algorithmOf,
  type Digest,
  type DigestAlgorithm,
  digestAlgorithms,
  isDigest,
  parseDigest,
} from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import { isRepositoryName, type RepositoryName } from '../oci/reference.ts'
import type { RegistryPath } from '../oci/registry-path.ts'
import type { Target } from '../projects/locate.ts'
import type { HeldUpload } from '../push/held-upload.ts'
import type { Mounts } from '../push/mounts.ts'
import type { UploadState, UploadStates } from '../push/upload-states.ts'
import type { Uploads } from '../push/uploads.ts'
import { type Chunk, chunkOf } from './chunk.ts'

/** What the caller may pull. */
export interface Readable {
  /** The repository that he calls so; `undefined` when he may not. */
  named(name: RepositoryName): RepositoryName | undefined
  mayPull(repository: RepositoryName): boolean
}

export interface UploadHandlerOptions {
  uploads: Uploads
  states: UploadStates
  mounts: Mounts
  metadata: Pick<Metadata, 'links'>
  metrics: Pick<Metrics, 'uploadBytes' | 'mounted'>
  disk: Pick<DiskWatch, 'kept'>
  usage: Pick<Usage, 'used'>
}

type UploadPath = Extract<RegistryPath, { kind: 'upload' }>

/** Where the upload's next request goes, and what of it is here. */
interface Place {
  name: RepositoryName
  state: UploadState
}

/** distribution-spec "Pushing blobs" and "Mounting a blob from another repository". */
export function createUploadHandler(options: UploadHandlerOptions) {
  const { uploads, states, mounts, metadata, metrics, disk, usage } = options

  async function begin(
    c: HttpContext,
    { repository }: Target,
    { name }: UploadPath,
    readable: Readable,
  ): Promise<Response> {
    const mounted = await mountedBlob(c, repository, readable)
    if (mounted) {
      metrics.mounted.inc()
      return created(c, name, mounted)
    }
    const said = only(c, 'digest')
    const digest = said === undefined ? undefined : parseDigest(said)
    const algorithm = digest === undefined ? parseAlgorithm(only(c, 'digest-algorithm')) : algorithmOf(digest)
    const id = await uploads.begin(algorithm)
    const state = { repository, id, offset: 0, algorithm }
    if (digest === undefined) return placed(c, 202, { name, state })
    await using upload = await held(state)
    try {
      await append(c, upload, chunkOf(c, state), { name, state })
    } catch (error) {
      await upload.end('failed')
      throw error
    }
    await commit(upload, repository, digest)
    return created(c, name, digest)
  }

  /** Whoever may not read there is told nothing: an upload begins, as if the blob were not there. */
  async function mountedBlob(
    c: HttpContext,
    repository: RepositoryName,
    { named, mayPull }: Readable,
  ): Promise<Digest | undefined> {
    const [digest, from] = [only(c, 'mount'), only(c, 'from')]
    if (digest === undefined || !isDigest(digest)) return undefined
    if (from === undefined) return (await mounts.mountAny(repository, digest, mayPull)) ? digest : undefined
    const source = isRepositoryName(from) ? named(from) : undefined
    return source !== undefined && (await mounts.mount(repository, digest, source)) ? digest : undefined
  }

  async function commit(upload: HeldUpload, repository: RepositoryName, digest: Digest): Promise<void> {
    await upload.commit(repository, digest)
    disk.kept()
  }

  async function held({ id, algorithm }: UploadState): Promise<HeldUpload> {
    const upload = await uploads.take(id, algorithm)
    if (!upload) throw unknown()
    return upload
  }

  async function status(c: HttpContext, place: Place): Promise<Response> {
    const offset = await uploads.offset(place.state.id)
    if (offset === undefined) throw unknown()
    return placed(c, 204, { ...place, state: { ...place.state, offset } })
  }

  async function patch(c: HttpContext, place: Place): Promise<Response> {
    await using upload = await held(place.state)
    await append(c, upload, chunkOf(c, place.state), place)
    upload.acknowledge()
    return placed(c, 202, { ...place, state: { ...place.state, offset: upload.offset } })
  }

  async function put(c: HttpContext, place: Place): Promise<Response> {
    const { name, state } = place
    const digest = parseDigest(only(c, 'digest') ?? '')
    await using upload = await uploads.take(state.id, state.algorithm)
    if (!upload) {
      // Its answer got lost, and it is sent again.
      usage.used(digest)
      if (await metadata.links.find(state.repository, digest)) return created(c, name, digest)
      throw unknown()
    }
    await append(c, upload, chunkOf(c, state), place)
    await commit(upload, state.repository, digest)
    return created(c, name, digest)
  }

  async function cancel(c: HttpContext, { state }: Place): Promise<Response> {
    await using upload = await held(state)
    await upload.end('cancelled')
    return c.body(null, 204)
  }

  function placed(c: HttpContext, status: 202 | 204, place: Place): Response {
    return c.body(null, status, {
      ...whereabouts(states, place),
      ...(status === 202 && { 'content-length': '0' }),
    })
  }

  async function append(c: HttpContext, upload: HeldUpload, chunk: Chunk, place: Place): Promise<void> {
    const onReceived = (bytes: number) => metrics.uploadBytes.inc(bytes)
    await receiveChunk(c, upload, chunk, onReceived, () => {
      const { offset } = upload
      return new RegistryError('RANGE_INVALID', {
        message: `the upload goes on at ${offset}`,
        headers: whereabouts(states, { ...place, state: { ...place.state, offset } }),
      })
    })
  }

  return async (c: HttpContext, target: Target, path: UploadPath, readable: Readable): Promise<Response> => {
    const { method } = c.req
    if (path.id === undefined) {
      if (method !== 'POST') throw new RegistryError('UNSUPPORTED')
      return begin(c, target, path, readable)
    }
    const state = states.read(only(c, '_state'), target.repository, path.id)
    if (!state) throw unknown()
    const place = { name: path.name, state }
    switch (method) {
      case 'GET':
      case 'HEAD':
        return status(c, place)
      case 'PATCH':
        return patch(c, place)
      case 'PUT':
        return put(c, place)
      case 'DELETE':
        return cancel(c, place)
      default:
        throw new RegistryError('UNSUPPORTED')
    }
  }
}

/**
 * Puts a request's body where the request says it belongs. What the client was never told to be here is forgotten when it
 * is sent again, when it is not as it was announced, and when there is no room for all of it.
 */
async function receiveChunk(
  c: HttpContext,
  upload: HeldUpload,
  { start, isExact, length, hasBody }: Chunk,
  onReceived: (bytes: number) => void,
  outOfOrder: () => RegistryError,
): Promise<void> {
  if (!hasBody) return
  const mayFollow = isExact ? start === upload.offset : start <= upload.offset && start >= upload.acknowledged
  if (!mayFollow) throw outOfOrder()
  if (length !== undefined) await upload.expect(start + length)
  let received = 0

  async function goBack(piece: Buffer): Promise<void> {
    await upload.cutBack(start)
    await upload.append(piece)
  }
  function take(piece: Buffer): Promise<void> | undefined {
    const isFirst = received === 0
    received += piece.length
    if (length !== undefined && received > length) throw new RegistryError('SIZE_INVALID')
    return isFirst && start < upload.offset ? goBack(piece) : upload.append(piece)
  }
  try {
    await receive(c.env.incoming, take, AbortSignal.any([signalOf(c), upload.lost]))
    await upload.flush()
    if (length !== undefined && received !== length) throw new RegistryError('SIZE_INVALID')
  } catch (error) {
    // What has no room is not to keep the rest of it for as long as somebody could go on with it.
    const isWrong = error instanceof RegistryError && error.code === 'SIZE_INVALID'
    if (isWrong || isDiskFull(error)) await upload.cutBack(start)
    throw error
  } finally {
    onReceived(received)
  }
}

function whereabouts(states: UploadStates, { name, state }: Place): Record<string, string> {
  return {
    location: `/v2/${name}/blobs/uploads/${state.id}?_state=${states.sign(state)}`,
    range: `0-${Math.max(0, state.offset - 1)}`,
    'docker-upload-uuid': state.id,
  }
}

function created(c: HttpContext, name: RepositoryName, digest: Digest): Response {
  return c.body(null, 201, {
    location: `/v2/${name}/blobs/${digest}`,
    'docker-content-digest': digest,
    'content-length': '0',
  })
}

function unknown(): RegistryError {
  return new RegistryError('BLOB_UPLOAD_UNKNOWN')
}

/** @throws RegistryError `BAD_REQUEST` when it is given twice */
function only(c: HttpContext, name: string): string | undefined {
  const all = c.req.queries(name) ?? []
  if (all.length > 1) throw new RegistryError('BAD_REQUEST', { message: `${name} is given twice` })
  return all[0]
}

function parseAlgorithm(text: string | undefined): DigestAlgorithm {
  const algorithm = text === undefined ? 'sha256' : digestAlgorithms.find((each) => each === text)
  if (algorithm) return algorithm
  throw new RegistryError('DIGEST_INVALID', { message: 'the algorithms here are sha256 and sha512' })
}
