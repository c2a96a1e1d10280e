import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

export type RequestKind = 'ping' | 'manifest' | 'blob' | 'tags' | 'referrers' | 'token' | 'other'

/** What a request path of the distribution API asks for. */
export interface Asked {
  kind: RequestKind
  repository?: string
  /** The tag or digest after `manifests/`, `blobs/` or `referrers/`. */
  reference?: string
}

export interface SeenRequest extends Readonly<Asked> {
  readonly method: string
  /** As it came, without the query. */
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  /** Milliseconds, `Date.now()`. */
  readonly at: number
  /** Requests with the same number came over the same connection. */
  readonly connection: number
  /** Absent until a status has been sent. */
  status?: number
  /** Body bytes handed to the socket so far. */
  bodyBytes: number
}

export type RequestFilter =
  | ((request: SeenRequest) => boolean)
  | {
      method?: string
      kind?: RequestKind
      path?: RegExp
      repository?: string
      reference?: string
      /** As `reference`, for readers. */
      digest?: string
    }

export function matches(filter: RequestFilter, request: SeenRequest): boolean {
  if (typeof filter === 'function') return filter(request)
  const { method, kind, path, repository, reference, digest } = filter
  return (
    (method === undefined || method === request.method) &&
    (kind === undefined || kind === request.kind) &&
    (path === undefined || path.test(request.path)) &&
    (repository === undefined || repository === request.repository) &&
    (reference === undefined || reference === request.reference) &&
    (digest === undefined || digest === request.reference)
  )
}

const grammar = /^\/v2\/(.+)\/(manifests|blobs|referrers)\/([^/]+)$/
const kinds: Readonly<Record<string, RequestKind>> = {
  manifests: 'manifest',
  blobs: 'blob',
  referrers: 'referrers',
}

export function askedBy(path: string): Asked {
  if (path === '/v2/' || path === '/v2') return { kind: 'ping' }
  if (path === '/token') return { kind: 'token' }
  const [, repository, noun = '', reference] = grammar.exec(path) ?? []
  if (repository !== undefined && reference !== undefined) {
    return { kind: kinds[noun] ?? 'other', repository, reference: decodeURIComponent(reference) }
  }
  const tagged = /^\/v2\/(.+)\/tags\/list$/.exec(path)?.[1]
  return tagged === undefined ? { kind: 'other' } : { kind: 'tags', repository: tagged }
}

export interface RequestLog {
  readonly all: SeenRequest[]
  note(incoming: IncomingMessage): SeenRequest
  /** Resolves as soon as `times` requests that match have arrived since the last clear, in all. */
  seen(filter: RequestFilter, times: number): Promise<void>
}

export function createRequestLog(): RequestLog {
  const all: SeenRequest[] = []
  const waiting = new Set<() => void>()
  const connections = new WeakMap<Socket, number>()
  let lastConnection = 0

  function connectionOf(socket: Socket): number {
    const known = connections.get(socket)
    if (known !== undefined) return known
    connections.set(socket, ++lastConnection)
    return lastConnection
  }

  return {
    all,
    note(incoming) {
      const { method = '', url = '', headers, rawHeaders, socket } = incoming
      const cut = url.indexOf('?')
      const path = cut === -1 ? url : url.slice(0, cut)
      const query = new URLSearchParams(cut === -1 ? '' : url.slice(cut))
      const about = {
        method,
        path,
        query,
        headers,
        rawHeaders,
        at: Date.now(),
        connection: connectionOf(socket),
      }
      const request: SeenRequest = { ...askedBy(path), ...about, bodyBytes: 0 }
      all.push(request)
      for (const look of waiting) look()
      return request
    },
    seen(filter, times) {
      return new Promise((resolve) => {
        function look(): void {
          if (all.filter((request) => matches(filter, request)).length < times) return
          waiting.delete(look)
          resolve()
        }
        waiting.add(look)
        look()
      })
    },
  }
}
