import { join } from 'node:path'
import { createJournal, plainEnvironment, startNode } from '../../test/support/node-process.ts'
import type { UpstreamGreeting } from '../../test/support/upstream/cli.ts'
import type { UpstreamStats } from '../../test/support/upstream/stats.ts'

/** A registry in a process of its own, so that its work is not ours, behind a line that all its clients share. */
export interface UpstreamProcess extends AsyncDisposable, UpstreamGreeting {
  /** Bytes of blobs that it has sent so far. */
  blobBytes(): Promise<number>
  /** Ends it: from now on its port refuses connections. */
  cutOff(): Promise<void>
}

const program = join(import.meta.dirname, '../../test/support/upstream.ts')

/** @param args as `test/support/upstream.ts` takes them */
export async function startUpstreamProcess(args: readonly string[]): Promise<UpstreamProcess> {
  const journal = createJournal()
  const child = await startNode([program, ...args], plainEnvironment(), journal)
  const cutOff = async (): Promise<void> => void (await child.end('SIGKILL'))
  const failed = child.exited.then(() => {
    throw new Error(`the upstream did not start: ${journal.text()}`)
  })
  failed.catch(() => {})
  const greeting = await Promise.race([journal.first((line) => 'images' in line, 0), failed])
  const { url, host, images } = greeting as unknown as UpstreamGreeting
  return {
    url,
    host,
    images,
    async blobBytes() {
      const stats = (await (await fetch(`${url}/_stats`)).json()) as UpstreamStats
      return stats.blobBytes
    },
    cutOff,
    [Symbol.asyncDispose]: cutOff,
  }
}
