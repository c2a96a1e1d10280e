import { mediaTypes } from '../../../src/oci/manifest.ts'
import type { Content } from '../images.ts'
import type { Repositories, Repository } from './repositories.ts'
import type { SeenRequest } from './requests.ts'

export interface Reply {
  status: number
  headers: Record<string, string>
  body: Uint8Array
}

export interface ReplyRules {
  /** Off: 404 for the referrers API, as from a registry older than it. */
  referrers: boolean
  /** What is sent for these bytes of a manifest or blob. */
  contentOf: (bytes: Buffer) => Buffer
}

/** What a registry in good health answers. For a HEAD the body is there too; it is not to be sent. */
export function replyTo(request: SeenRequest, repositories: Repositories, rules: ReplyRules): Reply {
  const { method, kind, reference = '' } = request
  if (method !== 'GET' && method !== 'HEAD') return failure(405, 'UNSUPPORTED', 'this registry is only read')
  if (kind === 'ping') return jsonReply(200, {})
  const repository = repositories.byName.get(request.repository ?? '')
  if (!repository) return failure(404, 'NAME_UNKNOWN', 'repository name not known to registry')
  switch (kind) {
    case 'manifest':
      return manifestReply(repository, reference, request, rules)
    case 'blob': {
      const blob = repository.blobs.get(reference)
      return blob ? blobReply(blob, request, rules) : failure(404, 'BLOB_UNKNOWN', 'blob unknown to registry')
    }
    case 'tags':
      return tagsReply(repository, request)
    case 'referrers':
      return rules.referrers ? referrersReply(repository, request) : failure(404, 'NOT_FOUND', 'no such page')
    default:
      return failure(404, 'NOT_FOUND', 'no such page')
  }
}

export function failure(status: number, code: string, message: string, headers = {}): Reply {
  return jsonReply(status, { errors: [{ code, message }] }, headers)
}

export function jsonReply(status: number, value: object, headers: Record<string, string> = {}): Reply {
  return {
    status,
    headers: { 'Content-Type': 'application/json', ...headers },
    body: Buffer.from(JSON.stringify(value)),
  }
}

function manifestReply(
  repository: Repository,
  reference: string,
  request: SeenRequest,
  rules: ReplyRules,
): Reply {
  const manifest = repository.manifests.get(repository.tags.get(reference) ?? reference)
  if (!manifest) return failure(404, 'MANIFEST_UNKNOWN', 'manifest unknown')
  const { digest, mediaType, bytes } = manifest
  const headers = { 'Content-Type': mediaType, 'Docker-Content-Digest': digest, ETag: `"${digest}"` }
  if (request.headers['if-none-match'] === headers.ETag)
    return { status: 304, headers, body: Buffer.alloc(0) }
  return { status: 200, headers, body: rules.contentOf(bytes) }
}

function blobReply(blob: Content, request: SeenRequest, rules: ReplyRules): Reply {
  const { digest } = blob
  const bytes = rules.contentOf(blob.bytes)
  const headers = {
    'Content-Type': 'application/octet-stream',
    'Docker-Content-Digest': digest,
    ETag: `"${digest}"`,
    'Accept-Ranges': 'bytes',
  }
  const { range, 'if-range': ifRange } = request.headers
  const applies = ifRange === undefined || ifRange === headers.ETag
  const wanted = range !== undefined && applies ? parseRange(range, bytes.length) : 'all'
  if (wanted === 'all') return { status: 200, headers, body: bytes }
  if (wanted === 'none') {
    const nothing = failure(416, 'RANGE_INVALID', 'the requested range cannot be satisfied')
    return { ...nothing, headers: { ...nothing.headers, 'Content-Range': `bytes */${bytes.length}` } }
  }
  const { first, last } = wanted
  const contentRange = `bytes ${first}-${last}/${bytes.length}`
  const body = bytes.subarray(first, last + 1)
  return { status: 206, headers: { ...headers, 'Content-Range': contentRange }, body }
}

/** RFC 9110 §14: what is not one range of bytes is ignored. */
function parseRange(text: string, size: number): { first: number; last: number } | 'all' | 'none' {
  const [, from = '', to = ''] = /^bytes=(\d*)-(\d*)$/.exec(text) ?? []
  if (from === '' && to === '') return 'all'
  const first = from === '' ? Math.max(0, size - Number(to)) : Number(from)
  const last = from === '' || to === '' ? size - 1 : Math.min(size - 1, Number(to))
  if (to !== '' && from !== '' && Number(to) < first) return 'all'
  return first < size && (from !== '' || Number(to) > 0) ? { first, last } : 'none'
}

function tagsReply(repository: Repository, { repository: name, query }: SeenRequest): Reply {
  const all = [...repository.tags.keys()].sort()
  const after = query.get('last')
  const rest = after === null ? all : all.filter((tag) => tag > after)
  const n = query.get('n')
  const tags = n === null ? rest : rest.slice(0, Number(n))
  const more = tags.length > 0 && tags.length < rest.length
  const next = `</v2/${name}/tags/list?n=${n}&last=${encodeURIComponent(tags.at(-1) ?? '')}>; rel="next"`
  return jsonReply(200, { name, tags }, more ? { Link: next } : {})
}

function referrersReply(repository: Repository, { reference, query }: SeenRequest): Reply {
  const artifactType = query.get('artifactType')
  const manifests = [...repository.manifests.values()]
    .map((content) => ({ content, body: JSON.parse(content.bytes.toString()) }))
    .filter(({ body }) => body.subject?.digest === reference)
    .map(({ content: { mediaType, digest, bytes }, body }) => {
      return {
        mediaType,
        digest,
        size: bytes.length,
        artifactType: body.artifactType ?? body.config?.mediaType,
      }
    })
    .filter((descriptor) => artifactType === null || descriptor.artifactType === artifactType)
  const body = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }
  const headers = { 'Content-Type': mediaTypes.ociIndex, ...(artifactType !== null && filtered) }
  return jsonReply(200, body, headers)
}

const filtered = { 'OCI-Filters-Applied': 'artifactType' }
