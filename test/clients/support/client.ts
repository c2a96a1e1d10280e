/** A container client, seen as somebody who pulls. */
export interface Client {
  /** Pulls `docker.io/…:tag` or `…@digest`. @returns the digests under which the client now has it, unpacked if it unpacks. */
  pull(image: string): Promise<string[]>
}

export function digestsIn(said: string): string[] {
  return said.match(/sha256:[0-9a-f]{64}/g) ?? []
}
