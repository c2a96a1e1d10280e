import { stat } from 'node:fs/promises'

export interface FollowedFiles {
  /** What is there now is known. To be called before they are read. */
  note(): Promise<void>
  close(): void
}

export interface FollowFilesOptions {
  files: readonly string[]
  /** They are others than those that are known, and have rested from one look to the next. */
  onChange(): void
  /** Milliseconds between looks. Default 5,000. */
  pollMs?: number
}

/** Looks at files, or at what their links lead to: not every volume tells of its changes. */
export function followFiles({ files, onChange, pollMs = 5_000 }: FollowFilesOptions): FollowedFiles {
  let known: string | undefined
  let last: string | undefined
  async function look(): Promise<void> {
    const now = await generationOf(files)
    const isAtRest = now === last
    last = now
    if (!isAtRest || known === undefined || now === known) return
    known = now
    onChange()
  }
  const timer = setInterval(look, pollMs).unref()
  return {
    async note() {
      known = await generationOf(files)
    },
    close: () => clearInterval(timer),
  }
}

async function generationOf(files: readonly string[]): Promise<string> {
  const each = files.map((file) =>
    stat(file, { bigint: true }).then(
      ({ ino, size, mtimeNs }) => `${ino} ${size} ${mtimeNs}`,
      () => 'not to be seen',
    ),
  )
  return (await Promise.all(each)).join()
}
