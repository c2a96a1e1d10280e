import { traced } from './traced.ts'

const calls = { sync: 'fsync', datasync: 'fdatasync', write: 'pwrite64,pwritev,pwritev2' } as const

/** Doing that with the file fails in that process, until it is disposed. */
export function failing(
  pid: number,
  what: keyof typeof calls,
  file: string,
  error: 'EIO' | 'ENOSPC',
): Promise<AsyncDisposable> {
  const inject = `inject=${calls[what]}:error=${error}`
  return traced(pid, ['-o', '/dev/null', '-P', file, '-e', `trace=${calls[what]}`, '-e', inject])
}
