import type { Backup } from '../jobs/backup.ts'
import type { FsckEvent, FsckSums } from '../jobs/fsck.ts'
import type { ImageLine, NodeStatus } from './commands.ts'

const sizeWidth = 10
const ageWidth = 8

export const imageHeading = `${'SIZE'.padStart(sizeWidth)}  ${'USED'.padEnd(ageWidth)}  ${'DIGEST'.padEnd(19)}  IMAGE\n`

/** @param now milliseconds since 1970 */
export function formatImage(
  { repository, tag, digest, bytes, missing, usedAt }: ImageLine,
  now: number,
): string {
  const age = usedAt === undefined ? '–' : formatAge(now - Date.parse(usedAt))
  const size = formatBytes(bytes).padStart(sizeWidth)
  const parts = missing === 0 ? '' : `  (${missing} parts not here)`
  return `${size}  ${age.padEnd(ageWidth)}  ${digest.slice(0, 19)}  ${repository}:${tag}${parts}\n`
}

export function formatStatus({ version, pid, startedAt, doors, degraded, cache }: NodeStatus): string {
  const budget = cache.budgetBytes === undefined ? '' : ` of ${formatBytes(cache.budgetBytes)}`
  const lines = [
    `outport ${version}, process ${pid}, since ${startedAt}`,
    `doors: ${doors.map(({ url }) => url).join(' ')}`,
    `stored: ${formatBytes(cache.bytes)}${budget}`,
    ...(degraded.length === 0
      ? ['all is well']
      : degraded.map(({ message, since }) => `degraded: ${message} (since ${since})`)),
  ]
  return `${lines.join('\n')}\n`
}

export function formatFinding(event: Exclude<FsckEvent, { kind: 'progress' }>): string {
  if (event.kind === 'end') return formatSums(event)
  const { digest, what, mended, reason } = event
  const outcome = mended ? (what === 'unknown' ? ', removed' : ', fetched again') : ''
  return `${digest} ${words[what]}${outcome}${reason === undefined ? '' : `, not mended: ${reason}`}\n`
}

const words = {
  rotten: 'has other bytes',
  absent: 'is not there',
  unknown: 'belongs to nothing',
} as const

function formatSums({ checked, bytes, rotten, absent, unknown, mended }: FsckSums): string {
  const findings = `${rotten} rotten, ${absent} absent, ${unknown} unknown, ${mended} mended`
  return `checked ${checked} (${formatBytes(bytes)}): ${findings}\n`
}

/** Of a terminal: what stands in the line goes (ECMA-48, EL). */
export const clearLine = '\r\u001b[K'

/** Stands in the place of the one before. */
export function formatProgress({ checked, bytes, ofBytes }: FsckSums): string {
  return `${clearLine}${checked} checked, ${formatBytes(bytes)} of ${formatBytes(ofBytes)}`
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

export function formatBackup({ stored, bytes, gone }: Backup, target: string): string {
  const lost = gone === 0 ? '' : `; ${gone} were given up meanwhile`
  return `copied ${stored} (${formatBytes(bytes)}) to ${target}${lost}\n`
}

export function formatBytes(bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`
}

export function formatAge(ms: number): string {
  const minutes = Math.max(0, Math.floor(ms / 60_000))
  if (minutes < 60) return `${minutes} min`
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1440)} d`
}
