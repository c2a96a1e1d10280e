import { setTimeout as pause } from 'node:timers/promises'
import { createUnixDatagrams } from './datagrams.ts'

/**
 * Whoever started the node and wants to know how it is: systemd, by sd_notify(3), or nobody. Where it watches for that, it
 * is told at intervals that the node lives.
 */
export interface ServiceManager {
  ready(status: string): Promise<void>
  /** To be followed by {@link ready}. */
  reloading(): Promise<void>
  stopping(): Promise<void>
}

export interface ServiceManagerOptions {
  /** `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` are read. */
  env: Readonly<Record<string, string | undefined>>
  pid: number
  /** What cannot be told is no reason not to serve. */
  onError(error: unknown): void
}

const tries = 5
const pauseMs = 50

const nobody: ServiceManager = { async ready() {}, async reloading() {}, async stopping() {} }

export async function connectServiceManager(options: ServiceManagerOptions): Promise<ServiceManager> {
  const { env, onError } = options
  if (!env.NOTIFY_SOCKET) return nobody
  try {
    return createServiceManager(await createUnixDatagrams(env.NOTIFY_SOCKET), options)
  } catch (error) {
    onError(error)
    return nobody
  }
}

function createServiceManager(
  send: (text: string) => boolean,
  { env, pid, onError }: ServiceManagerOptions,
): ServiceManager {
  const every = watchdogMs(env, pid)
  // One that is lost is made up for by the next.
  if (every !== undefined) setInterval(() => send('WATCHDOG=1'), every / 3).unref()

  async function tell(...assignments: string[]): Promise<void> {
    const text = assignments.join('\n')
    for (let left = tries; left > 0; left--) {
      if (send(text)) return
      await pause(pauseMs)
    }
    onError(new Error(`nobody takes ${assignments[0]} at ${env.NOTIFY_SOCKET}`))
  }

  return {
    ready: (status) => tell('READY=1', `STATUS=${status}`),
    reloading: () =>
      tell(
        'RELOADING=1',
        `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`,
        'STATUS=reads its settings again',
      ),
    stopping: () => tell('STOPPING=1', 'STATUS=lets what is under way finish'),
  }
}

/** How long it may hear nothing; `undefined` where it does not watch this process. */
function watchdogMs({ WATCHDOG_USEC: usec, WATCHDOG_PID: of }: ServiceManagerOptions['env'], pid: number) {
  const ms = Number(usec) / 1000
  return ms > 0 && (!of || Number(of) === pid) ? ms : undefined
}
