import { traced } from './traced.ts'

/** What Node and SQLite write files with; sockets and the event loop's own wake-up use others. */
const calls = 'pwrite64,pwritev,pwritev2,fsync,fdatasync'

/** Every write to a file by this process, in whatever thread, takes so much longer until it is disposed. */
export function slowDisk(pid: number, delayMs: number): Promise<AsyncDisposable> {
  const delay = `inject=${calls}:delay_enter=${delayMs * 1000}`
  return traced(pid, ['-o', '/dev/null', '-e', `trace=${calls}`, '-e', delay])
}
