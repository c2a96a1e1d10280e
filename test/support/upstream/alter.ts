import { gzipSync } from 'node:zlib'
import type { FaultEffects } from './faults.ts'
import { failure, type Reply } from './replies.ts'
import type { SeenRequest } from './requests.ts'

const portal =
  '<!DOCTYPE html><html><title>Welcome</title><body>Please log in to the guest network.</body></html>'

/** What answers in health; the content of manifests and blobs is sent as `contentOf` has it. */
export type Answering = (request: SeenRequest, contentOf: (bytes: Buffer) => Buffer) => Reply

/** The answer as the fault has it: what it says, not yet how it travels. */
export function alteredReply(request: SeenRequest, effects: FaultEffects, answering: Answering): Reply {
  const instead = insteadOf(request, effects)
  if (instead) return withHeaders(instead, effects)

  const { range, ...headers } = request.headers
  const asked = effects.ignoreRange === true && range !== undefined ? { ...request, headers } : request
  const reply = answering(asked, (bytes) => spoiled(bytes, effects))
  return withHeaders(effects.gzip === true ? gzipped(reply) : reply, effects)
}

function insteadOf(request: SeenRequest, effects: FaultEffects): Reply | undefined {
  const { status, html, redirect, body } = effects
  if (html === true)
    return { status: 200, headers: { 'Content-Type': 'text/html' }, body: Buffer.from(portal) }
  if (redirect !== undefined) {
    const location = typeof redirect === 'string' ? redirect : redirect(request)
    return { status: status ?? 307, headers: { Location: location }, body: Buffer.alloc(0) }
  }
  if (status === undefined) return undefined
  const plain = failure(status, 'UNKNOWN', `status ${status}`)
  return body === undefined ? plain : { ...plain, body }
}

function spoiled(bytes: Buffer, { body, flipAt, tail }: FaultEffects): Buffer {
  // Large content is not copied for a fault that leaves it as it is.
  if (body === undefined && flipAt === undefined && tail === undefined) return bytes
  const content = Buffer.concat([body ?? bytes, tail ?? Buffer.alloc(0)])
  const flipped = flipAt === undefined ? undefined : content[flipAt]
  if (flipAt !== undefined && flipped !== undefined) content[flipAt] = flipped ^ 0xff
  return content
}

function gzipped({ status, headers, body }: Reply): Reply {
  return { status, headers: { ...headers, 'Content-Encoding': 'gzip' }, body: gzipSync(body, { level: 1 }) }
}

function withHeaders(reply: Reply, effects: FaultEffects): Reply {
  const changed: Readonly<Record<string, string | undefined>> = {
    ...reply.headers,
    ...(effects.contentDigest !== undefined && { 'Docker-Content-Digest': effects.contentDigest }),
    ...(effects.contentType !== undefined && { 'Content-Type': effects.contentType }),
    ...(effects.contentRange !== undefined && { 'Content-Range': effects.contentRange }),
    ...(effects.etag !== undefined && { ETag: effects.etag }),
    ...effects.headers,
  }
  const headers = Object.entries(changed).filter((entry): entry is [string, string] => entry[1] !== undefined)
  return { ...reply, headers: Object.fromEntries(headers) }
}
