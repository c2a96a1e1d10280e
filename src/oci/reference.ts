import { type Digest, isDigest, parseDigest } from './digest.ts'
import { RegistryError } from './error.ts'

declare const proven: unique symbol

/** A name that has passed {@link parseRepositoryName}: components of distribution-spec's `<name>`, at most 255 characters. */
export type RepositoryName = string & { readonly [proven]: 'repository' }

/** A tag that has passed {@link parseTag}. */
export type Tag = string & { readonly [proven]: 'tag' }

export type Reference = { kind: 'tag'; tag: Tag } | { kind: 'digest'; digest: Digest }

const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const componentGrammar = new RegExp(`^${component}$`)
const nameGrammar = new RegExp(`^${component}(?:/${component})*$`)
const tagGrammar = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/

export function isRepositoryName(text: string): text is RepositoryName {
  return text.length <= 255 && nameGrammar.test(text)
}

/** One path component of a repository name; project names are of this form. */
export function isNameComponent(text: string): boolean {
  return text.length <= 255 && componentGrammar.test(text)
}

/** @throws RegistryError `NAME_INVALID` */
export function parseRepositoryName(text: string): RepositoryName {
  if (!isRepositoryName(text))
    throw new RegistryError('NAME_INVALID', { detail: { name: text.slice(0, 300) } })
  return text
}

export function isTag(text: string): text is Tag {
  return tagGrammar.test(text)
}

/** @throws RegistryError `TAG_INVALID` */
export function parseTag(text: string): Tag {
  if (!isTag(text)) throw new RegistryError('TAG_INVALID', { detail: { tag: text.slice(0, 160) } })
  return text
}

/** A tag can hold no colon, so a colon means a digest. @throws RegistryError `DIGEST_INVALID` or `TAG_INVALID` */
export function parseReference(text: string): Reference {
  if (isDigest(text)) return { kind: 'digest', digest: text }
  return text.includes(':')
    ? { kind: 'digest', digest: parseDigest(text) }
    : { kind: 'tag', tag: parseTag(text) }
}

/** As it stands in a URL after `/manifests/`. */
export function textOf(reference: Reference): string {
  return reference.kind === 'tag' ? reference.tag : reference.digest
}
