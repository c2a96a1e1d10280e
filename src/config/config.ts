import { inspect } from 'node:util'
import type { AuthorityFile } from '../http/certificates.ts'
import type { LogLevels } from '../log.ts'
import type { Surroundings } from '../policy/site-rules.ts'
import type { ProxySettings } from '../upstream/registry-client.ts'
import type { Listener } from './listeners.ts'
import type { AccessLog } from './logging.ts'

export const durabilities = ['full', 'fast'] as const
export type Durability = (typeof durabilities)[number]

/** Where this node runs, proved as a whole. Frozen. Printing it, as text or JSON, shows no secret. */
export interface Config {
  listen: readonly Listener[]
  /** `undefined`: nobody has said where the mirror door is, or that there is none. */
  mirrorListen: 'off' | readonly Listener[] | undefined
  /** The project behind the default mirror; `set` when somebody asked for just that one. */
  mirror: { readonly name: string; readonly set: boolean }
  /** Absolute, like all paths here. */
  data: string
  policies: string
  /** PEM files; several certificates are chosen by the name that is asked for. */
  tls: readonly { readonly cert: string; readonly key: string }[]
  /** Nobody has named certificates: those are meant that `outport tls init` makes in the data. */
  tlsIsOwn: boolean
  /** PEM file of the authority that clients are to trust. Absent: nobody has named it. */
  tlsCa?: Readonly<AuthorityFile>
  /** Doors without TLS lead to those with it, where there are some in the same list. */
  tlsRedirect: boolean
  /** An origin, without a slash at the end. */
  publicUrl?: string
  /** Absent: the registry door while the site only mirrors, else loopback. */
  metricsListen?: readonly Listener[]
  durability: Durability
  /** Of the administrator. */
  adminPassword?: string
  /** A file of further users. */
  htpasswd?: string
  logLevels: LogLevels
  accessLog: AccessLog
  /** Milliseconds to the first byte of an answer, from which on it is called slow. */
  slowMs: number
  /** Printable ASCII without blanks and quotes: it stands in tokens and challenges. */
  site: string
  failpoint?: string
  proxy: Readonly<ProxySettings>
  /** PEM file of the authorities to trust instead of Node's own. */
  authorities?: string
}

/** All that is wrong with the environment, one sentence each. No secret is in them. */
export class EnvironmentError extends Error {
  override readonly name = 'EnvironmentError'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.problems = problems
  }
}

/** What the policies have to know of the environment. @param diskBytes of the disk that holds the data */
export function surroundingsOf({ mirrorListen, mirror }: Config, diskBytes?: number): Surroundings {
  return {
    mirrorListen: mirrorListen === undefined || mirrorListen === 'off' ? (mirrorListen ?? 'unset') : 'set',
    mirror,
    ...(diskBytes !== undefined && { diskBytes }),
  }
}

/** The same object, which prints as `shown` in JSON and in a log. */
export function printedAs<Value extends object>(value: Value, shown: object): Value {
  const print = { value: () => shown, enumerable: false }
  return Object.defineProperties(value, { toJSON: print, [inspect.custom]: print })
}
