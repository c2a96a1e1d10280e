import type { FileHandle } from 'node:fs/promises'
import { LRUCache } from 'lru-cache'
import { orAbandon } from '../flow/abandon.ts'
import type { Digest } from '../oci/digest.ts'
import type { Growing } from './blob-store.ts'
import { type Identity, identityOf, isSame } from './identity.ts'
import type { Proof } from './proof.ts'

/** Some 300 bytes each. */
const mostTrusted = 65_536
/** Blobs of which this process has read a part: what their proofs remember, in bytes. */
const begunBytes = 32 * 1024 * 1024

/** What this process itself knows of the files in its store: nothing is believed that an earlier one has left. */
export interface Proofs {
  /** The file's bytes were proven by whoever brought them. */
  trust(digest: Digest, identity: Identity): void
  isTrusted(digest: Digest, identity: Identity): boolean
  /** The proof of that very file as far as it has come, else one that `begin` makes. */
  of(digest: Digest, identity: Identity, begin: () => Proof): Proof
}

export function createProofs(): Proofs {
  const trusted = new LRUCache<Digest, Identity>({ max: mostTrusted })
  const begun = new LRUCache<Digest, Proof>({
    maxSize: begunBytes,
    sizeCalculation: ({ memoryBytes }) => Math.min(begunBytes, memoryBytes),
  })

  return {
    trust(digest, identity) {
      trusted.set(digest, identityOf(identity))
      begun.delete(digest)
    },
    isTrusted(digest, identity) {
      const known = trusted.get(digest)
      return known !== undefined && isSame(known, identity)
    },
    of(digest, identity, begin) {
      const known = begun.get(digest)
      if (known && isSame(known.identity, identity)) return known
      const proof = begin()
      begun.set(digest, proof)
      return proof
    },
  }
}

/** One reader of a file that is proven on the way. It has `handle`, and closes it once nothing is read from it. */
export function createProofReader(proof: Proof, handle: FileHandle): Growing {
  let work: Promise<unknown> = Promise.resolve()
  let released = false
  return {
    async readableFrom(position, signal) {
      signal.throwIfAborted()
      const proven = proof.provenFrom(position)
      if (proven > position) return proven
      const end = proof.prove(position, handle)
      work = end
      return orAbandon(end, signal)
    },
    async read(buffer, length, position) {
      return (await handle.read(buffer, 0, length, position)).bytesRead
    },
    release() {
      if (released) return
      released = true
      const close = () => handle.close()
      work.then(close, close).catch(() => {})
    },
  }
}
