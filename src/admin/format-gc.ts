import type { GarbageEvent } from '../jobs/garbage.ts'
import { formatBytes } from './format.ts'

/** @param dry nothing went */
export function formatGarbage(event: GarbageEvent, dry: boolean): string {
  switch (event.kind) {
    case 'repository':
      return `${event.repository}  ${heldOf(event)}, ${formatBytes(event.bytes)}\n`
    case 'unlinked':
      return `in no repository  ${counted(event.parts, 'part')}, ${formatBytes(event.bytes)}\n`
    case 'end':
      return `${dry ? 'would collect' : 'collected'} ${heldOf(event)} of repositories, ${counted(event.parts, 'part')} of none: ${formatBytes(event.bytes)}\n`
    default:
      return event satisfies never
  }
}

function heldOf({ manifests, blobs }: { manifests: number; blobs: number }): string {
  return `${counted(manifests, 'manifest')} and ${counted(blobs, 'blob')}`
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
