import type { Dirent } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { unlessAbsent } from '../flow/unless-absent.ts'
import { algorithmOf, type Digest, digestAlgorithms, hexOf, isDigest } from '../oci/digest.ts'
import {
  type OnFault,
  readSmall,
  reasonOf,
  type Source,
  SourceFault,
  type SourceRepository,
} from './source.ts'

const longestLink = 256

/**
 * The data of a distribution registry (`registry:2`, `registry:3`) as its filesystem driver keeps it: a blob is read
 * through a repository only where a link says so, and that holds here too.
 * @param root the real path of the folder that holds `repositories` and `blobs`
 */
export function openRegistryFolder(root: string, onFault: OnFault): Source {
  const source = { root }
  const top = join(root, 'repositories')

  /** @throws SourceFault when the file says something else */
  async function checkLink(folder: string, digest: Digest): Promise<void> {
    const said = await linkAt(folder)
    if (said !== digest) throw new SourceFault(`links to ${said}`)
  }

  async function linkAt(folder: string): Promise<Digest> {
    const said = (await readSmall(source, join(folder, 'link'), longestLink)).toString('latin1').trim()
    if (!isDigest(said)) throw new SourceFault(`its link is no digest: ${JSON.stringify(said.slice(0, 80))}`)
    return said
  }

  async function* foldersIn(folder: string): AsyncGenerator<string> {
    let entries: Dirent[]
    try {
      entries = (await unlessAbsent(readdir(folder, { withFileTypes: true }))) ?? []
    } catch (error) {
      return onFault(relative(root, folder), reasonOf(error))
    }
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (entry.isDirectory()) yield entry.name
      else if (entry.isSymbolicLink()) onFault(relative(root, join(folder, entry.name)), 'is a link; skipped')
    }
  }

  async function digestsIn(folder: string): Promise<Digest[]> {
    const digests: Digest[] = []
    for (const algorithm of digestAlgorithms) {
      for await (const hex of foldersIn(join(folder, algorithm))) {
        const digest = `${algorithm}:${hex}`
        if (isDigest(digest)) digests.push(digest)
      }
    }
    return digests
  }

  /** Those of which a link file says that they were not deleted. */
  async function linkedIn(folder: string): Promise<Digest[]> {
    const linked: Digest[] = []
    for (const digest of await digestsIn(folder)) {
      const at = join(folder, algorithmOf(digest), hexOf(digest))
      try {
        if (!(await unlessAbsent(readdir(at)))?.includes('link')) continue
        await checkLink(at, digest)
        linked.push(digest)
      } catch (error) {
        onFault(relative(root, at), reasonOf(error))
      }
    }
    return linked
  }

  async function tagsOf(folder: string): Promise<SourceRepository['tags']> {
    const tags: { tag: string; digest: Digest }[] = []
    for await (const tag of foldersIn(join(folder, '_manifests', 'tags'))) {
      const at = join(folder, '_manifests', 'tags', tag, 'current')
      try {
        tags.push({ tag, digest: await linkAt(at) })
      } catch (error) {
        onFault(relative(root, at), reasonOf(error))
      }
    }
    return tags
  }

  async function repositoryAt(folder: string): Promise<SourceRepository> {
    const manifests = await linkedIn(join(folder, '_manifests', 'revisions'))
    const blobs = await linkedIn(join(folder, '_layers'))
    const held = new Set([...manifests, ...blobs])
    return {
      ...{ name: relative(top, folder), manifests, blobs, tags: await tagsOf(folder) },
      holds: async (digest) => held.has(digest),
    }
  }

  async function* below(folder: string, signal: AbortSignal): AsyncGenerator<SourceRepository> {
    signal.throwIfAborted()
    const names = await Array.fromAsync(foldersIn(folder))
    if (folder !== top && (names.includes('_manifests') || names.includes('_layers')))
      yield await repositoryAt(folder)
    for (const name of names) if (!name.startsWith('_')) yield* below(join(folder, name), signal)
  }

  return {
    root,
    hasHosts: false,
    repositories: (signal) => below(top, signal),
    fileOf: (digest) =>
      join(root, 'blobs', algorithmOf(digest), hexOf(digest).slice(0, 2), hexOf(digest), 'data'),
    async [Symbol.asyncDispose]() {},
  }
}
