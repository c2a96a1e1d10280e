import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { Writable } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { type Line, largestChunkBytes, line } from '../line.ts'
import type { FaultEffects, Strike } from './faults.ts'
import type { Reply } from './replies.ts'
import type { SeenRequest } from './requests.ts'

export interface Delivery {
  request: SeenRequest
  response: ServerResponse
  reply: Reply
  line?: Line
}

/** Sends an answer as a healthy registry does. Settles when it is handed over. */
export async function deliver(
  { request, response, reply, line: road }: Delivery,
  signal: AbortSignal,
): Promise<void> {
  if (road && road.latencyMs > 0) await pause(road.latencyMs, undefined, { signal })
  const { status, headers, body } = reply
  request.status = status
  response.writeHead(status, { ...headers, ...(status !== 304 && { 'Content-Length': body.length }) })
  if (request.method === 'HEAD' || status === 304) {
    response.end()
  } else if (!road && body.length <= largestChunkBytes) {
    request.bodyBytes = body.length
    response.end(body)
  } else {
    response.flushHeaders()
    await sendBody(response, body, request, road ? [road] : [], signal)
    response.end()
  }
}

/** Sends an answer as `strike` has it. Settles when the connection is as it shall be left. */
export async function deliverFaulty(delivery: Delivery, strike: Strike, signal: AbortSignal): Promise<void> {
  const { request, response, reply, line: road } = delivery
  const { effects } = strike
  const latencyMs = (road?.latencyMs ?? 0) + (effects.latencyMs ?? 0)
  if (latencyMs > 0) await pause(latencyMs, undefined, { signal })
  if (effects.stallBeforeStatus === true) {
    strike.done()
    await unlessGone(strike.released, signal)
  }
  if (effects.drop === true) {
    response.socket?.resetAndDestroy()
    strike.done()
    return
  }

  if (effects.informational !== undefined) sendInformational(response, effects.informational)
  request.status = reply.status
  const stream = sendHead(delivery, effects)
  if (request.method !== 'HEAD') await sendFaultyBody(stream, delivery, strike, signal)
  await leave(response, request, reply, effects)
  if (effects.stallBeforeStatus !== true && effects.stallAt === undefined) strike.done()
}

function sendInformational(response: ServerResponse, status: 100 | 102 | 103): void {
  if (status === 100) response.writeContinue()
  else if (status === 102) response.writeProcessing()
  else response.writeEarlyHints({ link: '</style.css>; rel=preload' })
}

/** @returns what the body is to be written to. */
function sendHead({ response, reply }: Delivery, effects: FaultEffects): Writable {
  const { status, headers, body } = reply
  if (effects.http10 === true && response.socket) {
    const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    response.socket.write(`HTTP/1.0 ${status} Whatever\r\n${fields.join('')}\r\n`)
    return response.socket
  }
  const length = effects.chunked === true ? {} : { 'Content-Length': effects.contentLength ?? body.length }
  response.writeHead(status, { ...length, ...headers })
  response.flushHeaders()
  return response
}

async function sendFaultyBody(
  stream: Writable,
  delivery: Delivery,
  strike: Strike,
  signal: AbortSignal,
): Promise<void> {
  const { request, reply, line: road } = delivery
  const { stallAt, bytesPerSecond } = strike.effects
  const roads = [...(road ? [road] : []), ...(bytesPerSecond === undefined ? [] : [line({ bytesPerSecond })])]
  const body = reply.body.subarray(0, cutOf(strike.effects))

  if (stallAt === undefined) return sendBody(stream, body, request, roads, signal)
  await sendBody(stream, body.subarray(0, stallAt), request, roads, signal)
  strike.done()
  await unlessGone(strike.released, signal)
  await sendBody(stream, body.subarray(stallAt), request, roads, signal)
}

function cutOf({ truncateAt, resetAt }: FaultEffects): number {
  return Math.min(truncateAt ?? Number.POSITIVE_INFINITY, resetAt ?? Number.POSITIVE_INFINITY)
}

async function sendBody(
  stream: Writable,
  body: Uint8Array,
  request: SeenRequest,
  roads: readonly Line[],
  signal: AbortSignal,
): Promise<void> {
  const step = Math.min(largestChunkBytes, ...roads.map(({ chunkBytes }) => chunkBytes))
  for (let at = 0; at < body.length; at += step) {
    const chunk = body.subarray(at, at + step)
    for (const road of roads) await road.carry(chunk.length, signal)
    signal.throwIfAborted()
    request.bodyBytes += chunk.length
    if (!stream.write(chunk)) await once(stream, 'drain', { signal })
  }
}

/** How long the other side gets to take what is already on the wire before a reset throws it away. */
const settleMs = 20

async function leave(
  response: ServerResponse,
  request: SeenRequest,
  reply: Reply,
  effects: FaultEffects,
): Promise<void> {
  const { socket } = response
  const cut = request.method !== 'HEAD' && reply.body.length >= cutOf(effects)
  if (cut && effects.resetAt !== undefined) {
    await pause(settleMs)
    socket?.resetAndDestroy()
  } else if (cut || effects.http10 === true || effects.contentLength !== undefined) {
    socket?.destroySoon()
  } else if (effects.closeAfter === true) {
    response.end(() => socket?.destroySoon())
  } else {
    response.end()
  }
}

function unlessGone(event: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    event.then(resolve, reject)
  })
}
