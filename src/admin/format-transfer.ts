import type { ImportSums } from '../transfer/import.ts'
import { formatBytes } from './format.ts'

export function formatImportEnd(sums: ImportSums, dry: boolean): string {
  const { repositories, tags, manifests, linked, copied, bytes, present, problems } = sums
  const came = dry
    ? `${formatBytes(bytes)} would come`
    : `${linked} blobs linked and ${copied} copied (${formatBytes(bytes)})`
  const images = `${repositories} repositories, ${tags} tags, ${manifests} manifests`
  return `${images}; ${came}, ${present} were here; ${problems} problems\n`
}

export function formatImportProgress({ tags, manifests, hashed, problems }: ImportSums): string {
  return `${manifests} manifests, ${tags} tags, ${formatBytes(hashed)} read, ${problems} problems`
}
