import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { programPath } from './programs.ts'

export interface Downloaded {
  bytes: number
  /** From the first request to the last byte, without the start of the program. */
  seconds: number
}

/** Downloads `url` so often, one after another on one connection, in a process of its own. @throws unless each is whole */
export async function download(
  url: string,
  { times, bytes }: { times: number; bytes: number },
  signal: AbortSignal,
): Promise<Downloaded> {
  const targets = Array.from({ length: times }, () => ['--output', '/dev/null', url]).flat()
  const report = '%{http_code} %{size_download} %{time_total}\n'
  const { stdout } = await promisify(execFile)(
    programPath('curl', 'curl'),
    ['--disable', '--silent', '--show-error', '--noproxy', '*', '--write-out', report, ...targets],
    { signal },
  )
  const rows = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' ').map(Number))
  const wrong = rows.find(([status, size]) => status !== 200 || size !== bytes)
  if (wrong || rows.length !== times) throw new Error(`${url}: status, bytes, seconds: ${wrong ?? stdout}`)
  return { bytes: bytes * times, seconds: rows.reduce((total, [, , seconds = 0]) => total + seconds, 0) }
}
