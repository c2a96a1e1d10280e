import { type FSWatcher, watch } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import type { Site } from '../projects/project.ts'
import type { Loaded } from './load.ts'
import type { Problem, Warning } from './problem.ts'
import { generationOf } from './snapshot.ts'
import { wholeFile } from './source.ts'

export interface WatchPoliciesOptions {
  folder: string
  load(): Promise<Loaded>
  /** What is in force already; a folder that has changed since is loaded at once. */
  from?: Loaded
  /** A whole set that is right. */
  onSite(site: Site, warnings: readonly Warning[]): void
  /** The folder is wrong now; what was last given to `onSite` goes on. */
  onProblems(problems: readonly Problem[]): void
  signal: AbortSignal
  /** Milliseconds of rest after which a change counts as complete. Default 100. */
  debounceMs?: number
  /** Milliseconds between looks at the folder, for volumes whose changes the system does not tell. Default 10,000. */
  pollMs?: number
}

export interface PolicyWatch {
  /** Loads now, changed or not: secrets and certificates may have. Settles when the outcome has been handed over. */
  reload(): Promise<void>
}

/**
 * Follows the folder until the signal ends it; the folder may vanish, come back, or be replaced. Loads by itself only
 * after a change, counted from `from` or from the start.
 */
export function watchPolicies(options: WatchPoliciesOptions): PolicyWatch {
  const { folder, signal, debounceMs = 100, pollMs = 10_000 } = options
  const watchers = createWatchers(resolve(folder), changed)
  let loaded = options.from?.generation
  let rest: NodeJS.Timeout | undefined

  const reload = oneAfterTheOther(async () => {
    const outcome = await attempt(options)
    if (signal.aborted) return
    loaded = outcome.generation
    if ('site' in outcome) options.onSite(outcome.site, outcome.warnings)
    else options.onProblems(outcome.problems)
  })

  function changed(): void {
    clearTimeout(rest)
    if (!signal.aborted) rest = setTimeout(look, debounceMs).unref()
  }

  /** Watches anew before it looks: a folder that was replaced is watched from now on, and seen as it is now. */
  async function look(): Promise<void> {
    watchers.renew()
    const now = await generationOf(folder)
    if (signal.aborted) return watchers.close()
    const isNew = loaded !== undefined && loaded !== now
    loaded = now
    if (isNew) await reload()
  }

  const poll = setInterval(changed, pollMs).unref()
  signal.addEventListener('abort', close, { once: true })
  if (signal.aborted) close()
  else void look()

  function close(): void {
    clearInterval(poll)
    clearTimeout(rest)
    watchers.close()
  }

  return { reload }
}

/** Callers that come while work waits for its turn share it. */
function oneAfterTheOther(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> = Promise.resolve()
  let waiting: Promise<void> | undefined
  return () => {
    waiting ??= running
      .catch(() => undefined)
      .then(() => {
        waiting = undefined
        return work()
      })
    running = waiting
    return waiting
  }
}

async function attempt({ folder, load }: WatchPoliciesOptions): Promise<Loaded> {
  try {
    return await load()
  } catch (error) {
    const found = error instanceof Error ? error.message : 'an error'
    // A generation that the folder never has: the next look tries again.
    return {
      problems: [{ ...wholeFile(folder), expected: 'a folder that can be loaded', found }],
      generation: '',
    }
  }
}

/** Over the folder, and over the one above it, where it appears and is replaced. */
function createWatchers(folder: string, changed: () => void): { renew(): void; close(): void } {
  let open: FSWatcher[] = []

  function start(directory: string, concerns: (name: string | null) => boolean): FSWatcher[] {
    try {
      const watcher = watch(directory, { persistent: false }, (_event, name) => concerns(name) && changed())
      return [watcher.on('error', () => watcher.close())]
    } catch {
      // Not there, or the system has no watch left: the folder is still looked at every few seconds.
      return []
    }
  }

  function close(): void {
    for (const watcher of open.splice(0)) watcher.close()
  }

  return {
    close,
    renew() {
      const isFolder = (name: string | null) => name === null || name === basename(folder)
      const renewed = [...start(dirname(folder), isFolder), ...start(folder, () => true)]
      close()
      open = renewed
    },
  }
}
