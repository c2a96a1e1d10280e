import type { FaultSite } from '../../faults/support/site.ts'
import { outport, type Said } from '../../support/command.ts'
import { blobsOf, type Content, type Image } from '../../support/images.ts'

/** Runs a command on the data of the site's edge. @param through as for {@link outport} */
export function run(
  { edge }: FaultSite,
  args: readonly string[],
  through?: readonly string[],
): Promise<Said> {
  return outport(args, { OUTPORT_DATA: edge.data, OUTPORT_POLICIES: edge.policies }, through)
}

export function linesOf(text: string): string[] {
  return text.trimEnd().split('\n')
}

// biome-ignore lint/suspicious/noExplicitAny: what a test expects of it says what it is
export function jsonOf({ stdout }: Said): any[] {
  return linesOf(stdout).map((line) => JSON.parse(line))
}

/** Manifest, config and layers. */
export function partsOf(image: Image): Content[] {
  return [image.manifest, ...blobsOf(image)]
}

export function digestsOf(...images: Image[]): string[] {
  return images.flatMap((image) => partsOf(image).map(({ digest }) => digest)).sort()
}
