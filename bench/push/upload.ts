import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { programPath } from '../support/programs.ts'
import type { PushStage } from './case.ts'

export interface UploadOptions {
  method: 'PATCH' | 'PUT'
  /** Its length is not said before. */
  isChunked?: boolean
  status: number
}

/** Sends a file from a process of its own. @returns the `Location` it is told. @throws unless it is answered so */
export async function sendFile(
  { headers, signal }: PushStage,
  url: URL,
  file: string,
  { method, isChunked = false, status }: UploadOptions,
): Promise<URL> {
  const lines = Object.entries({
    ...headers,
    expect: '',
    'content-type': 'application/octet-stream',
    ...(isChunked && { 'transfer-encoding': 'chunked' }),
  }).flatMap(([name, value]) => ['--header', `${name}: ${value}`])
  const report = '%{http_code} %header{location}'
  const { stdout } = await promisify(execFile)(
    programPath('curl', 'the client, curl,'),
    [
      '--disable',
      '--silent',
      '--show-error',
      '--noproxy',
      '*',
      '--output',
      '/dev/null',
      '--write-out',
      report,
    ]
      .concat(lines)
      .concat('--request', method, '--upload-file', file, url.href),
    { signal },
  )
  const [said, location = ''] = stdout.trim().split(' ')
  if (Number(said) !== status) throw new Error(`${url}: ${stdout}`)
  return new URL(location, url)
}
