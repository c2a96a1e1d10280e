import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sumOf } from '../../test/support/metrics.ts'
import { type MirrorOverrides, mirrorPolicies } from '../../test/support/mirror-policy.ts'
import type { Part } from '../support/question.ts'
import type { Figure } from '../support/requirement.ts'
import { outport } from '../support/servers/outport.ts'
import { type Installation, install, type RunningServer } from '../support/start-server.ts'

/** Something that is asked of what Outport keeps. */
export interface KeepingCase extends Part {
  readonly figures: readonly Figure[]
  /** A measurement that takes longer has failed. */
  readonly deadlineMs: number
  /** @param quick less of everything: shows that it works */
  measure(quick: boolean, signal: AbortSignal): Promise<Readonly<Record<string, number>>>
}

export const mebibyte = 1024 ** 2

/** Tags are not asked for again: what is measured is what is kept. */
export const asPolicy = (cache: object, registry: object = {}): MirrorOverrides => ({
  registry,
  project: { freshness: [{ tag: '**', for: '1d' }] },
  more: [{ kind: 'cache', ...cache }],
})

export interface OutportInstallation extends Installation {
  readonly data: string
  readonly policies: string
}

export async function installOutport(
  upstream: string,
  policy: MirrorOverrides,
): Promise<OutportInstallation> {
  const installation = await install(await outport({ policy }), upstream)
  const folderOf = (name: string) => join(installation.folder, name)
  return { ...installation, data: folderOf('data'), policies: folderOf('policies') }
}

/** A node that runs follows them. */
export async function rewritePolicy(
  { policies }: { policies: string },
  upstream: { readonly url: string },
  policy: MirrorOverrides,
): Promise<void> {
  for (const [file, text] of Object.entries(mirrorPolicies(upstream, policy)))
    await writeFile(join(policies, file), text)
}

/** Sum over all series of that name. */
export async function metricOf({ url }: RunningServer, name: string): Promise<number> {
  return sumOf(await (await fetch(`${url}/metrics`)).text(), name)
}
