import { promisify } from 'node:util'
import { brotliDecompress, unzip } from 'node:zlib'
import type { Dispatcher } from 'undici'
import { startDeadline } from '../flow/deadline.ts'
import { errorCodeOf } from '../flow/error-code.ts'
import { errorOfConnection, oneOf, WebPageError } from './failure.ts'
import { UpstreamError } from './registry-client.ts'

/** A response whose status has come and whose body has not been touched. Whoever holds it reads, drops or cuts it. */
export interface Answer {
  /** Where the last redirect led. */
  url: URL
  status: number
  headers: Dispatcher.ResponseData['headers']
  body: Dispatcher.ResponseData['body']
}

/** Lets a body that nobody wants run out, so that its connection can be used again; a long or slow one is cut. */
export function drop({ body }: Answer): void {
  body.dump({ limit: 16 * 1024, signal: AbortSignal.timeout(1000) }).catch(() => {})
}

/** Ends the connection unless the body has ended. */
export function cut({ body }: Answer): void {
  body.on('error', () => {}).destroy()
}

/** Calls `broken` when the body ends before its time by nobody's wish here. */
export function onBreak({ body }: Answer, signal: AbortSignal, broken: () => void): void {
  body.once('error', (error) => {
    if (!signal.aborted && errorCodeOf(error) !== 'UND_ERR_ABORTED') broken()
  })
}

export function contentTypeOf({ headers }: Answer): string | undefined {
  return oneOf(headers['content-type'])?.split(';')[0]?.trim().toLowerCase()
}

/** Bytes, as `Content-Length` states them. */
export function contentLengthOf({ headers }: Answer): number | undefined {
  const text = oneOf(headers['content-length'])
  const length = text !== undefined && /^\d+$/.test(text) ? Number(text) : Number.NaN
  return Number.isSafeInteger(length) ? length : undefined
}

/** @throws WebPageError no manifest, blob, list or token is ever HTML. */
export function refuseWebPage(answer: Answer): void {
  const type = contentTypeOf(answer)
  if (type !== 'text/html' && type !== 'application/xhtml+xml') return
  cut(answer)
  throw new WebPageError('lying', `${answer.url.host}: answered with a web page`)
}

export interface ReadLimits {
  bytes: number
  ms: number
}

/**
 * The whole body, decoded: some servers compress although `identity` was asked for.
 * @throws UpstreamError `lying` when it is larger than the limit before or after decoding; `down` when it breaks off.
 */
export async function readWhole(answer: Answer, limits: ReadLimits, signal: AbortSignal): Promise<Buffer> {
  refuseWebPage(answer)
  const { host } = answer.url
  const tooLarge = () => new UpstreamError('lying', `${host}: answered with more than ${limits.bytes} bytes`)
  if ((contentLengthOf(answer) ?? 0) > limits.bytes) {
    cut(answer)
    throw tooLarge()
  }
  using deadline = startDeadline(limits.ms, signal)
  const abort = () => answer.body.destroy(deadline.signal.reason)
  deadline.signal.addEventListener('abort', abort, { once: true })
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      length += chunk.length
      if (length > limits.bytes) throw tooLarge()
      chunks.push(chunk)
    }
  } catch (error) {
    signal.throwIfAborted()
    if (deadline.expired)
      throw new UpstreamError('down', `${host}: its answer was not complete within ${limits.ms} ms`)
    throw errorOfConnection(error, host)
  } finally {
    deadline.signal.removeEventListener('abort', abort)
  }
  return decode(Buffer.concat(chunks), answer, limits.bytes)
}

const decoders = {
  gzip: promisify(unzip),
  'x-gzip': promisify(unzip),
  deflate: promisify(unzip),
  br: promisify(brotliDecompress),
}

async function decode(bytes: Buffer, answer: Answer, maxOutputLength: number): Promise<Buffer> {
  const encoding = contentEncodingOf(answer)
  if (encoding === undefined) return bytes
  if (!isDecodable(encoding))
    throw new UpstreamError('lying', `${answer.url.host}: answered in an encoding nobody asked for`)
  try {
    return await decoders[encoding](bytes, { maxOutputLength })
  } catch (cause) {
    throw new UpstreamError('lying', `${answer.url.host}: its ${encoding} cannot be read, or is too large`, {
      cause,
    })
  }
}

/** `undefined` for `identity`. */
export function contentEncodingOf({ headers }: Answer): string | undefined {
  const encoding = oneOf(headers['content-encoding'])?.trim().toLowerCase()
  return encoding === undefined || encoding === '' || encoding === 'identity' ? undefined : encoding
}

function isDecodable(encoding: string): encoding is keyof typeof decoders {
  return Object.hasOwn(decoders, encoding)
}
