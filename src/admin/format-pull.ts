import { formatBytes } from './format.ts'
import type { PullEvent, PulledImage } from './pull.ts'

type PullProgress = Extract<PullEvent, { kind: 'progress' }>

export function formatPulled(event: PulledImage): string {
  const { image, reason, unconfirmed, missing, parts, ofParts, bytes } = event
  if (reason !== undefined) return `${image}  is not here: ${reason}\n`
  const unsure = unconfirmed === undefined ? '' : `; upstream has not confirmed it (${unconfirmed})`
  if (missing.length === 0) return `${image}  is here: ${partsOf(parts)}, ${formatBytes(bytes)}${unsure}\n`
  const list = missing.map(({ digest, kind, reason: why }) => `  ${kind} ${digest}: ${why}\n`)
  return `${image}  is not whole: ${missing.length} missing, ${parts} of ${partsOf(ofParts)} here${unsure}\n${list.join('')}`
}

/** What is here of an image when somebody stopped its pull. */
export function formatStopped({ image, parts, ofParts, bytes, ofBytes }: PullProgress): string {
  if (ofParts === 0) return `${image}  was not begun\n`
  return `${image}  stopped: ${parts} of ${partsOf(ofParts)} here, ${formatBytes(bytes)} of ${formatBytes(ofBytes)}\n`
}

const barWidth = 20

/** @param columns of the terminal */
export function formatBar({ image, parts, ofParts, bytes, ofBytes }: PullProgress, columns: number): string {
  const share = ofBytes > 0 ? bytes / ofBytes : 0
  const bar = '#'.repeat(Math.floor(share * barWidth)).padEnd(barWidth, '-')
  const sizes = `${formatBytes(bytes)} of ${formatBytes(ofBytes)}`
  const line = `[${bar}] ${String(Math.floor(share * 100)).padStart(3)}%  ${sizes}  ${parts}/${ofParts}  ${image}`
  return line.slice(0, Math.max(0, columns - 1))
}

function partsOf(count: number): string {
  return count === 1 ? '1 part' : `${count} parts`
}
