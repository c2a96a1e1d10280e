import type { IncomingMessage } from 'node:http'
import { type FetchOptions, responseTo } from '../../support/fetch-blob.ts'
import { line } from '../../support/line.ts'

export interface ReaderOptions extends FetchOptions {
  /** How fast it takes what comes; default as fast as it comes. */
  bytesPerSecond?: number
  /** Hangs up as soon as it has so many bytes. */
  leaveAt?: number
  /** Of the content, where the answer is to begin. */
  from?: number
  /** Takes the head, and nothing of the body before this resolves. */
  until?: Promise<unknown>
  /** Called when the head is there. */
  onHead?: () => void
}

export interface Reading {
  status: number | undefined
  bytes: number
  /** Every byte that came is the content's at its place. */
  isRight: boolean
  /** The message ended as HTTP says it must. */
  isComplete: boolean
}

/** A client that reads at its own speed and holds each byte against `content`. */
export async function readSlowly(
  url: string,
  content: Buffer,
  options: ReaderOptions = {},
): Promise<Reading> {
  const { bytesPerSecond, leaveAt = Number.POSITIVE_INFINITY, from = 0, until, onHead, ...asking } = options
  const response = await responseTo(url, asking)
  const reading = { status: response.statusCode, bytes: 0, isRight: true, isComplete: false }
  const road = line(bytesPerSecond === undefined ? {} : { bytesPerSecond })
  const patience = asking.signal ?? new AbortController().signal
  onHead?.()
  await until
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      const at = from + reading.bytes
      if (!chunk.equals(content.subarray(at, at + chunk.length))) reading.isRight = false
      reading.bytes += chunk.length
      if (reading.bytes >= leaveAt) break
      await road.carry(chunk.length, patience)
    }
    reading.isComplete = response.complete && reading.bytes < leaveAt
  } catch (error) {
    if (!isCut(response, error)) throw error
  }
  response.destroy()
  return reading
}

function isCut(response: IncomingMessage, error: unknown): boolean {
  return !response.complete && error instanceof Error && 'code' in error && error.code === 'ECONNRESET'
}
