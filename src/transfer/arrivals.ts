import { open, rm } from 'node:fs/promises'
import { unlessAbsent } from '../flow/unless-absent.ts'
import { removeUnnoted, type UnnotedOptions } from '../jobs/unnoted.ts'
import { type Digest, isDigest } from '../oci/digest.ts'

/** What an import is about to put among the blobs, so that nothing stays there that was never noted as stored. */
export interface Arrivals extends AsyncDisposable {
  /** Before its bytes come. */
  expect(digest: Digest): Promise<void>
  /** Everything that came is noted. */
  done(): void
}

export interface ArrivalsOptions extends UnnotedOptions {
  /** There while an import is under way, and after one that was killed. */
  file: string
}

export async function openArrivals(options: ArrivalsOptions): Promise<Arrivals> {
  const handle = await open(options.file, 'a', 0o600)
  let isDone = false
  return {
    async expect(digest) {
      await handle.appendFile(`${digest}\n`)
    },
    done() {
      isDone = true
    },
    async [Symbol.asyncDispose]() {
      await handle.close()
      if (isDone) await rm(options.file, { force: true })
      else await clearArrivals(options)
    },
  }
}

/** Takes away what came and was not noted, because the import broke off or the node was killed. */
export async function clearArrivals({ file, ...options }: ArrivalsOptions): Promise<void> {
  const handle = await unlessAbsent(open(file, 'r'))
  if (!handle) return
  for await (const line of handle.readLines()) if (isDigest(line)) await removeUnnoted([line], options)
  await rm(file, { force: true })
}
