import type { GiveUpEvent } from '../jobs/give-up.ts'
import { formatBytes } from './format.ts'

/** @param dry nothing went */
export function formatGivenUp(event: GiveUpEvent, dry: boolean): string {
  switch (event.kind) {
    case 'image':
      return event.why === undefined
        ? `${event.image}  ${dry ? 'would go' : 'gone'}, ${formatBytes(event.bytes)}\n`
        : `${event.image}  stays: ${event.why}\n`
    case 'nothing':
      return `${event.asked}: no such image is here\n`
    case 'end': {
      const { images, parts, bytes, stayed } = event
      const lines = stayed.map(
        (each) => `${dry ? 'would stay' : 'stayed'}: ${sumsOf(each.parts, each.bytes)}: ${each.why}\n`,
      )
      return `${dry ? 'would give up' : 'gave up'} ${images} ${images === 1 ? 'image' : 'images'}: ${sumsOf(parts, bytes)}\n${lines.join('')}`
    }
    default:
      return event satisfies never
  }
}

function sumsOf(parts: number, bytes: number): string {
  return `${parts} manifests and layers, ${formatBytes(bytes)}`
}
