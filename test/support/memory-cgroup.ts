import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { readFile, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

/** Of cgroup v1: its page cache counts, too. */
const root = '/sys/fs/cgroup/memory'

/** A group of processes that have so much memory together. */
export interface MemoryCgroup extends AsyncDisposable {
  /** To be put before a command, which then runs in the group. */
  readonly through: readonly string[]
  /** Processes that the kernel ended because there was no memory left. */
  oomKills(): Promise<number>
  /** The most bytes it has had, page cache included. */
  peakBytes(): Promise<number>
}

/** Whether this user may limit memory on this machine. */
export function canLimitMemory(): boolean {
  const probe = join(root, `outport-probe-${process.pid}`)
  try {
    mkdirSync(probe)
    writeFileSync(join(probe, 'memory.limit_in_bytes'), `${64 * 1024 * 1024}`)
    rmdirSync(probe)
    return true
  } catch {
    return false
  }
}

export function createMemoryCgroup(limitBytes: number): MemoryCgroup {
  const folder = join(root, `outport-test-${process.pid}-${Date.now()}`)
  mkdirSync(folder)
  writeFileSync(join(folder, 'memory.limit_in_bytes'), `${limitBytes}`)
  const read = (name: string) => readFile(join(folder, name), 'utf8')
  return {
    through: ['sh', '-c', 'echo $$ > "$1/cgroup.procs" && shift && exec "$@"', 'sh', folder],
    oomKills: async () => Number(/^oom_kill (\d+)$/m.exec(await read('memory.oom_control'))?.[1]),
    peakBytes: async () => Number(await read('memory.max_usage_in_bytes')),
    async [Symbol.asyncDispose]() {
      // Busy until the kernel has forgotten the last of its processes.
      for (let tries = 0; ; tries++) {
        try {
          return await rmdir(folder)
        } catch (error) {
          if (tries === 50) throw error
          await pause(100)
        }
      }
    },
  }
}
