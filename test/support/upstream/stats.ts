import type { SeenRequest } from './requests.ts'

/** What `GET /_stats` of an upstream in a process of its own answers. */
export interface UpstreamStats {
  requests: number
  requestsByKind: Partial<Record<SeenRequest['kind'], number>>
  /** Body bytes of everything. */
  bytes: number
  blobBytes: number
  blobs: Record<string, { requests: number; bytes: number }>
}

export function statsOf(requests: readonly SeenRequest[]): UpstreamStats {
  const stats: UpstreamStats = {
    requests: requests.length,
    requestsByKind: {},
    bytes: 0,
    blobBytes: 0,
    blobs: {},
  }
  for (const { kind, reference = '', method, bodyBytes } of requests) {
    stats.requestsByKind[kind] = (stats.requestsByKind[kind] ?? 0) + 1
    stats.bytes += bodyBytes
    if (kind !== 'blob') continue
    stats.blobBytes += bodyBytes
    const blob = stats.blobs[reference] ?? { requests: 0, bytes: 0 }
    stats.blobs[reference] = blob
    blob.bytes += bodyBytes
    if (method === 'GET') blob.requests++
  }
  return stats
}
