import { join } from 'node:path'
import { messageOf } from '../flow/message-of.ts'
import { algorithmOf, type Digest, hexOf, isDigest } from '../oci/digest.ts'
import { isTag } from '../oci/reference.ts'
import { type OnFault, readSmall, type Source, type SourceRepository } from './source.ts'

/** image-spec, "Image Layout" and "Pre-Defined Annotation Keys"; the second is containerd's, and docker writes it. */
export const refName = 'org.opencontainers.image.ref.name'
export const fullName = 'io.containerd.image.name'

const mostIndexBytes = 64 * 1024 * 1024

/**
 * An OCI image layout.
 * @param root the real path of its folder
 * @throws in one line when its index cannot be used
 */
export async function openLayout(root: string, onFault: OnFault): Promise<Source> {
  const file = join(root, 'index.json')
  const entries = entriesOf(await readIndex(root, file), onFault)
  const names = new Set(entries.flatMap(({ name }) => name ?? []))
  // What has no name belongs to what has, where that is one.
  const only = names.size === 1 ? [...names][0] : undefined
  const repositories = Map.groupBy(entries, ({ name }) => name ?? only)
  return {
    root,
    hasHosts: true,
    async *repositories() {
      for (const [name, all] of repositories) yield repositoryOf(name, all)
    },
    fileOf: (digest) => join(root, 'blobs', algorithmOf(digest), hexOf(digest)),
    async [Symbol.asyncDispose]() {},
  }
}

interface Entry {
  name: string | undefined
  tag?: string
  digest: Digest
}

function repositoryOf(name: string | undefined, entries: readonly Entry[]): SourceRepository {
  return {
    ...(name !== undefined && { name }),
    manifests: [...new Set(entries.map(({ digest }) => digest))],
    tags: entries.flatMap(({ tag, digest }) => (tag === undefined ? [] : [{ tag, digest }])),
    blobs: [],
    // All that stands there is there for all of its images.
    holds: async () => true,
  }
}

async function readIndex(root: string, file: string): Promise<unknown[]> {
  try {
    const index: unknown = JSON.parse((await readSmall({ root }, file, mostIndexBytes)).toString('utf8'))
    if (isObject(index) && Array.isArray(index.manifests)) return index.manifests
  } catch (cause) {
    throw new Error(`${file}: ${messageOf(cause)}`, { cause })
  }
  throw new Error(`${file}: expected an image index, found none`)
}

function entriesOf(descriptors: readonly unknown[], onFault: OnFault): Entry[] {
  return descriptors.flatMap((each, at): Entry[] => {
    const { digest, annotations } = isObject(each) ? each : {}
    if (typeof digest !== 'string' || !isDigest(digest)) {
      onFault(`index.json manifests[${at}]`, 'has no digest')
      return []
    }
    const notes = isObject(annotations) ? annotations : {}
    return [
      { digest, ...namesOf([notes[fullName], notes[refName]].filter((name) => typeof name === 'string')) },
    ]
  })
}

/** What says a repository goes before what says a tag alone. */
function namesOf(said: readonly string[]): Pick<Entry, 'name' | 'tag'> {
  const full = said.find((each) => each.includes('/') || each.includes(':'))
  if (full === undefined) {
    const [tag] = said
    return { name: undefined, ...(tag !== undefined && { tag }) }
  }
  const [tagged = ''] = full.split('@')
  const colon = tagged.indexOf(':', tagged.lastIndexOf('/') + 1)
  const tag = colon === -1 ? said.find(isTag) : tagged.slice(colon + 1)
  return { name: colon === -1 ? tagged : tagged.slice(0, colon), ...(tag !== undefined && { tag }) }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
