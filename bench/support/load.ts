import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findProgram } from './programs.ts'

export interface Load {
  requests: number
  requestsPerSecond: number
}

export interface LoadOptions {
  connections: number
  seconds: number
  headers: Readonly<Record<string, string>>
}

const ownClient = join(import.meta.dirname, 'load-client.ts')

export function loadClientName(): string {
  return findProgram('wrk') === undefined ? 'our own client (wrk is not here)' : 'wrk'
}

/** Asks again and again over some connections, from a process of its own. @throws when any answer is not 200 */
export async function load(url: string, options: LoadOptions, signal: AbortSignal): Promise<Load> {
  const wrk = findProgram('wrk')
  return wrk === undefined ? byOwnClient(url, options, signal) : byWrk(wrk, url, options, signal)
}

async function byWrk(
  program: string,
  url: string,
  { connections, seconds, headers }: LoadOptions,
  signal: AbortSignal,
): Promise<Load> {
  const lines = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const args = ['-t', '1', '-c', String(connections), '-d', `${seconds}s`, ...lines, url]
  const { stdout } = await promisify(execFile)(program, args, { signal })
  const requests = Number(/(\d+) requests in/.exec(stdout)?.[1])
  const requestsPerSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1])
  if (!(requests > 0) || /Non-2xx|Socket errors/.test(stdout)) throw new Error(`${url}: ${stdout}`)
  return { requests, requestsPerSecond }
}

async function byOwnClient(url: string, options: LoadOptions, signal: AbortSignal): Promise<Load> {
  const { stdout } = await promisify(execFile)(process.execPath, [ownClient, url, JSON.stringify(options)], {
    signal,
  })
  return JSON.parse(stdout) as Load
}
