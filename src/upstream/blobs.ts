import { type Bandwidth, throttled } from '../flow/bandwidth.ts'
import { startDeadline } from '../flow/deadline.ts'
import { noteWait } from '../flow/request-scope.ts'
import type { Slots } from '../flow/slots.ts'
import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { type Answer, contentEncodingOf, contentLengthOf, cut, drop, refuseWebPage } from './answer.ts'
import type { AskUpstream } from './ask.ts'
import { oneOf } from './failure.ts'
import {
  type BlobHead,
  type BlobOffset,
  type BlobStream,
  type RegistryType,
  UpstreamError,
} from './registry-client.ts'
import type { Slabs } from './slabs.ts'

export async function headBlob(
  ask: AskUpstream,
  type: RegistryType,
  repository: RepositoryName,
  digest: Digest,
  signal: AbortSignal,
): Promise<BlobHead> {
  const path = `blobs/${digest}`
  try {
    return await ask({ kind: 'blob', method: 'HEAD', repository, path }, signal, (answer) => {
      const head = headOf(answer)
      drop(answer)
      return head
    })
  } catch (error) {
    // Harbor's proxy cache answers 404 to HEAD for what it lacks, and fetches it for a GET.
    if (type !== 'harbor' || !(error instanceof UpstreamError) || error.kind !== 'absent') throw error
  }
  return ask({ kind: 'blob', method: 'GET', repository, path }, signal, (answer) => {
    const head = headOf(answer)
    cut(answer)
    return head
  })
}

/** What the open bodies of a registry share. */
export interface Bodies {
  slabs: Slabs
  /** At most so many bodies are open at once; one is held until the body ends or is destroyed. */
  slots: Slots
  /** How long a free one is waited for. */
  waitMs: number
  /** What all of them together go by. */
  bandwidth(): Bandwidth | undefined
}

export async function openBlob(
  ask: AskUpstream,
  { slabs, slots, waitMs, bandwidth }: Bodies,
  repository: RepositoryName,
  digest: Digest,
  from: BlobOffset,
  signal: AbortSignal,
): Promise<BlobStream> {
  const { urgent = () => true } = from
  const release = from.spare ? acquireNow(slots) : await acquireWithin(waitMs, slots, signal)
  const headers = rangeHeaders(from)
  try {
    const path = `blobs/${digest}`
    return await ask(
      { kind: 'blob', method: 'GET', repository, path, headers, bulk: true, urgent: urgent() },
      signal,
      (answer) => {
        const stream = { ...streamOf(answer, from), giveBack: slabs.giveBack }
        stream.body.once('close', release)
        const shared = bandwidth()
        return shared ? { ...stream, body: throttled(stream.body, shared, urgent) } : stream
      },
    )
  } catch (error) {
    release()
    throw error
  }
}

function rangeHeaders({ offset, end, etag }: BlobOffset): Record<string, string> {
  if (offset === 0 && end === undefined) return {}
  const range = `bytes=${offset}-${end === undefined ? '' : end - 1}`
  return { range, ...(isStrong(etag) && { 'if-range': etag }) }
}

function acquireNow(slots: Slots): () => void {
  const release = slots.tryAcquire()
  if (!release) throw new UpstreamError('limited', 'no connection is free')
  return release
}

async function acquireWithin(waitMs: number, slots: Slots, signal: AbortSignal): Promise<() => void> {
  using deadline = startDeadline(waitMs, signal)
  const since = performance.now()
  try {
    return await slots.acquire(deadline.signal)
  } catch (error) {
    signal.throwIfAborted()
    if (deadline.expired) throw new UpstreamError('limited', `no connection was free within ${waitMs} ms`)
    throw error
  } finally {
    noteWait('connection', since)
  }
}

function headOf(answer: Answer): BlobHead {
  refuseUnfit(answer)
  const size = contentLengthOf(answer)
  return size === undefined ? {} : { size }
}

function streamOf(answer: Answer, { offset, end }: BlobOffset): Omit<BlobStream, 'giveBack'> {
  refuseUnfit(answer)
  const { status, headers, body } = answer
  const length = contentLengthOf(answer)
  const isPart = status === 206
  const range = isPart ? rangeOf(answer) : { offset: 0, end: length, size: length }
  if (range?.offset !== (isPart ? offset : 0)) throw refuse(answer, 'sent another range than was asked for')
  const etag = oneOf(headers.etag)
  return {
    offset: range.offset,
    ...(range.end !== undefined && { end: range.end }),
    ignoredRange: !isPart && (offset > 0 || end !== undefined),
    ...(range.size !== undefined && { size: range.size }),
    ...(isStrong(etag) && { etag }),
    body,
  }
}

/** RFC 9110 §14.4. */
function rangeOf({ headers }: Answer): { offset: number; end: number; size: number | undefined } | undefined {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(
    oneOf(headers['content-range'])?.trim() ?? '',
  )
  if (!match) return undefined
  const [first, last] = [Number(match[1]), Number(match[2])]
  const size = match[3] === '*' ? undefined : Number(match[3])
  if (first > last || (size !== undefined && last >= size)) return undefined
  return { offset: first, end: last + 1, size }
}

/** Compressed in transit, a blob's bytes and offsets are no longer those of its digest. */
function refuseUnfit(answer: Answer): void {
  refuseWebPage(answer)
  const { status } = answer
  if (status !== 200 && status !== 206) throw refuse(answer, `answered ${status} for a blob`)
  if (contentEncodingOf(answer) !== undefined) throw refuse(answer, 'sent a blob in a content encoding')
}

function refuse(answer: Answer, reason: string): UpstreamError {
  cut(answer)
  return new UpstreamError('lying', `${answer.url.host}: ${reason}`)
}

/** Only a strong validator says that bytes are the same: RFC 9110 §13.1.5. */
function isStrong(etag: string | undefined): etag is string {
  return etag !== undefined && /^"[\x21\x23-\x7e]*"$/.test(etag)
}
