import { createHash } from 'node:crypto'
import { RegistryError } from './error.ts'

declare const proven: unique symbol

/** A content digest that has passed {@link parseDigest}, such as `sha256:6c3c…` or `sha512:…`, hex in lower case. */
export type Digest = string & { readonly [proven]: 'digest' }

export const digestAlgorithms = ['sha256', 'sha512'] as const
export type DigestAlgorithm = (typeof digestAlgorithms)[number]

const grammar = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/

export function isDigest(text: string): text is Digest {
  return grammar.test(text)
}

/** @throws RegistryError `DIGEST_INVALID` for anything but a lower-case sha256 or sha512 digest. */
export function parseDigest(text: string): Digest {
  if (!isDigest(text)) throw new RegistryError('DIGEST_INVALID', { detail: { digest: text.slice(0, 160) } })
  return text
}

export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256'
}

export function hexOf(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1)
}

export function digestOf(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}` as Digest
}
