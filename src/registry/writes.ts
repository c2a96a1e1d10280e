import type { DiskWatch } from '../flow/disk-trouble.ts'
import { type HttpContext, signalOf } from '../http/context.ts'
import { readBody } from '../http/request-body.ts'
import type { Metrics } from '../metrics.ts'
import { RegistryError } from '../oci/error.ts'
import { maxManifestBytes } from '../oci/manifest.ts'
import { parseTag, type Tag } from '../oci/reference.ts'
import type { RegistryPath } from '../oci/registry-path.ts'
import type { Target } from '../projects/locate.ts'
import { mayShadow, type Project } from '../projects/project.ts'
import type { Holdings, ManifestPush } from '../push/holdings.ts'
import { pushErrorOf } from '../resolve/errors.ts'
import { createUploadHandler, type Readable, type UploadHandlerOptions } from './uploads.ts'

export interface WriteHandlerOptions extends UploadHandlerOptions {
  holdings: Holdings
  metrics: UploadHandlerOptions['metrics'] & Pick<Metrics, 'manifestsPushed' | 'deleted'>
  disk: Pick<DiskWatch, 'failed' | 'kept'>
  /** See {@link ManifestPush.complete}. */
  complete(target: Target, ...parts: [...Parameters<Complete>, AbortSignal]): Promise<void>
}

type Complete = NonNullable<ManifestPush['complete']>

type ManifestPath = Extract<RegistryPath, { kind: 'manifest' }>

const mostTags = 50

/** What changes a repository, which the caller may: distribution-spec "Push" and "Content Management". */
export function createWriteHandler(options: WriteHandlerOptions) {
  const { holdings, complete, metrics, disk } = options
  const upload = createUploadHandler(options)

  async function put(c: HttpContext, target: Target, { name, reference }: ManifestPath): Promise<Response> {
    const more = tagsOf(c)
    if (more.length > 0 && reference.kind === 'tag') {
      throw new RegistryError('BAD_REQUEST', {
        message: 'tags are added to a manifest that is pushed by digest',
      })
    }
    const tags = reference.kind === 'tag' ? [reference.tag] : more
    refuseShadow(target.project, tags)
    const bytes = await readBody(c.env.incoming, maxManifestBytes, signalOf(c)).catch((error: unknown) => {
      throw tooLarge(error)
    })
    const { digest, subject } = await holdings.put({
      repository: target.repository,
      bytes,
      contentType: c.req.header('content-type'),
      sparse: target.project.sparse,
      complete: (manifest, hold) => complete(target, manifest, hold, signalOf(c)),
      ...(reference.kind === 'digest' && { digest: reference.digest }),
      tags,
    })
    metrics.manifestsPushed.inc()
    disk.kept()
    return c.body(null, 201, {
      location: `/v2/${name}/manifests/${digest}`,
      'docker-content-digest': digest,
      'content-length': '0',
      ...(subject && { 'oci-subject': subject }),
      ...(more.length > 0 && { 'oci-tag': more.join(', ') }),
    })
  }

  async function remove(
    c: HttpContext,
    { repository }: Target,
    path: Extract<RegistryPath, { kind: 'manifest' | 'blob' }>,
  ): Promise<Response> {
    if (path.kind === 'blob') {
      if (!(await holdings.remove(repository, path.digest, 'blob')))
        throw new RegistryError('BLOB_UNKNOWN', { detail: { digest: path.digest } })
    } else {
      const { reference } = path
      const isGone =
        reference.kind === 'tag'
          ? await holdings.untag(repository, reference.tag)
          : await holdings.remove(repository, reference.digest, 'manifest')
      if (!isGone) throw new RegistryError('MANIFEST_UNKNOWN')
    }
    metrics.deleted.inc({
      kind: path.kind === 'manifest' && path.reference.kind === 'tag' ? 'tag' : path.kind,
    })
    return c.body(null, 202, { 'content-length': '0' })
  }

  function write(c: HttpContext, target: Target, path: RegistryPath, readable: Readable): Promise<Response> {
    const { method } = c.req
    if (path.kind === 'upload') return upload(c, target, path, readable)
    if (path.kind === 'manifest' && method === 'PUT') return put(c, target, path)
    if ((path.kind === 'manifest' || path.kind === 'blob') && method === 'DELETE')
      return remove(c, target, path)
    throw new RegistryError('UNSUPPORTED')
  }

  return async (c: HttpContext, target: Target, path: RegistryPath, readable: Readable) => {
    try {
      return await write(c, target, path, readable)
    } catch (error) {
      disk.failed(error)
      throw pushErrorOf(error)
    }
  }
}

/** @throws RegistryError `DENIED` for a tag that is left to upstream */
function refuseShadow(project: Project, tags: readonly Tag[]): void {
  const refused = tags.find((tag) => !mayShadow(project, tag))
  if (refused === undefined) return
  const allowed = project.shadow.map(({ text }) => text).join(', ')
  throw new RegistryError('DENIED', {
    message: `the tag ${refused} is left to upstream: the setting shadow of project ${project.name} allows ${allowed}`,
    detail: { tag: refused },
  })
}

/** distribution-spec, "Pushing Manifests": tags beside a digest. */
function tagsOf(c: HttpContext): Tag[] {
  const tags = [...new Set(c.req.queries('tag') ?? [])].map(parseTag)
  if (tags.length > mostTags)
    throw new RegistryError('TOO_MANY_TAGS', { message: `at most ${mostTags} tags are set by one request` })
  return tags
}

/** The specification has no code of its own for it. */
function tooLarge(error: unknown): unknown {
  if (!(error instanceof RegistryError) || error.code !== 'TOO_LARGE') return error
  return new RegistryError('MANIFEST_INVALID', {
    status: error.status,
    message: `manifest invalid: larger than ${maxManifestBytes} bytes`,
  })
}
