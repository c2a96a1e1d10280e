import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  type Agent,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request as requestHttp,
} from 'node:http'
import { request as requestHttps } from 'node:https'

export interface FetchOptions {
  method?: string
  /** A list is sent as several lines. */
  headers?: Readonly<OutgoingHttpHeaders>
  /** PEM of the authority to trust besides the system's. */
  ca?: string
  /** Default: a connection of its own for each request. */
  agent?: Agent
  signal?: AbortSignal
  /** Keep the body's bytes, not only their digest. */
  keep?: boolean
  /** Called with the number of body bytes so far. */
  onProgress?: (bytes: number) => void
}

/** What came, however it ended. */
export interface Fetched {
  status: number
  headers: IncomingHttpHeaders
  /** Body bytes that arrived. */
  bytes: number
  /** As asked for by {@link FetchOptions.keep}, else empty. */
  body: Buffer
  sha256: string
  sha512: string
  /** The message ended as HTTP says it must: whole by its length or its chunks, or at the end of a length-less one. */
  complete: boolean
  /** Why it did not. */
  error?: Error
  firstByteMs: number
  ms: number
}

/** One request without redirects, decompression or retries. @throws when no status comes. */
export async function fetchBlob(url: string, options: FetchOptions = {}): Promise<Fetched> {
  const startedAt = performance.now()
  const response = await responseTo(url, options)
  const firstByteMs = performance.now() - startedAt
  const hashes = { sha256: createHash('sha256'), sha512: createHash('sha512') }
  const wantsLong = url.includes('sha512:')
  const kept: Buffer[] = []
  let bytes = 0
  let error: Error | undefined
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length
      hashes.sha256.update(chunk)
      if (wantsLong) hashes.sha512.update(chunk)
      if (options.keep === true) kept.push(chunk)
      options.onProgress?.(bytes)
    }
  } catch (cause) {
    error = cause instanceof Error ? cause : new Error(String(cause))
  }
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    bytes,
    body: Buffer.concat(kept),
    sha256: `sha256:${hashes.sha256.digest('hex')}`,
    sha512: `sha512:${hashes.sha512.digest('hex')}`,
    complete: error === undefined && response.complete,
    ...(error && { error }),
    firstByteMs,
    ms: performance.now() - startedAt,
  }
}

/** Resolves with the status and headers; the body is not read yet. */
export async function responseTo(url: string, options: FetchOptions = {}): Promise<IncomingMessage> {
  const { method = 'GET', headers = {}, ca, agent, signal } = options
  const send = url.startsWith('https:') ? requestHttps : requestHttp
  const request = send(url, {
    method,
    headers: { ...headers },
    ...(ca !== undefined && { ca }),
    agent: agent ?? false,
    ...(signal && { signal }),
  })
  // After the response has come, what breaks it is told by the response itself.
  request.on('error', () => {})
  request.end()
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return response
}
