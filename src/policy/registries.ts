import { createPrivateKey } from 'node:crypto'
import { resolve } from 'node:path'
import { createSecureContext } from 'node:tls'
import type { Calendar } from '../flow/calendar.ts'
import type { RegistrySettings } from '../upstream/registry-client.ts'
import type { Checked } from './check.ts'
import { describeFailure, isSecret, quote } from './found.ts'
import { type FieldPath, formatField, type Problem } from './problem.ts'
import type { Source } from './source.ts'

/** Where the secrets of documents are read; the only way to the environment from here. */
export interface Secrets {
  env(name: string): string | undefined
  /** Rejects with the system's error when the file cannot be read. */
  file(path: string): Promise<string>
}

export interface CompileRegistryOptions {
  /** Relative paths of files begin here. */
  folder: string
  secrets: Secrets
  calendars: ReadonlyMap<string, Calendar>
  report(problem: Problem): void
}

const dockerHub = { url: 'https://registry-1.docker.io', ns: 'docker.io', tokenHosts: ['auth.docker.io'] }

/** Reads what the document only names: its password, authority and certificate. What is missing is reported and left out. */
export async function compileRegistry(
  { body, source }: Checked<'registry'>,
  options: CompileRegistryOptions,
): Promise<RegistrySettings> {
  const hub = body.type === 'docker-hub' ? dockerHub : undefined
  const urls = body.urls ?? [body.url ?? hub?.url ?? '']
  const { calendars } = options
  const reader = createReader(source, options)
  const { ca, clientCertificate: client, credential } = body
  return Object.freeze({
    name: body.name,
    type: body.type,
    urls,
    ...(body.address === undefined ? {} : { address: body.address }),
    ns: nsOf(body),
    serveAs: body.serveAs,
    ...(credential && {
      credential: { username: credential.username, password: await reader.password(credential.password) },
    }),
    tokenHosts: body.tokenHosts ?? hub?.tokenHosts ?? [],
    redirectHosts: body.redirectHosts,
    ...(ca !== undefined && { ca: await reader.certificate(['ca'], ca) }),
    ...(client && { clientCertificate: await reader.pair(['clientCertificate'], client) }),
    insecure: body.insecure,
    ...bandwidthOf(body, calendars),
    ...(body.budget && { budget: body.budget }),
    connections: body.connections,
    timeouts: { headMs: body.timeouts.head, idleMs: body.timeouts.idle },
    segments: body.segments,
  })
}

/** A calendar that is not there is told of elsewhere. */
function bandwidthOf(
  { bandwidth }: Checked<'registry'>['body'],
  calendars: ReadonlyMap<string, Calendar>,
): Pick<RegistrySettings, 'bandwidth'> {
  if (!bandwidth) return {}
  if (bandwidth.kind === 'rate') return { bandwidth: bandwidth.bytesPerSecond }
  const calendar = calendars.get(bandwidth.name)
  return calendar ? { bandwidth: calendar } : {}
}

/** What `?ns=` calls this registry. */
export function nsOf({ ns, type, url, urls }: Checked<'registry'>['body']): string {
  const first = urls?.[0] ?? url
  return ns ?? (type === 'docker-hub' || first === undefined ? dockerHub.ns : new URL(first).host)
}

function createReader(source: Source, { folder, secrets, report }: CompileRegistryOptions) {
  function problem(path: FieldPath, expected: string, found: string): string {
    report({ ...source.spot(path), field: formatField(path), expected, found })
    return ''
  }

  async function file(path: FieldPath, name: string): Promise<string | undefined> {
    try {
      return await secrets.file(resolve(folder, name))
    } catch (error) {
      const found = describeFailure(error)
      problem(path, 'a file that can be read', isSecret(path) ? found : `${found}: ${quote(name)}`)
      return undefined
    }
  }

  async function pem(
    path: FieldPath,
    name: string,
    expected: string,
    check: (text: string) => unknown,
  ): Promise<string> {
    const text = await file(path, name)
    if (text === undefined) return ''
    try {
      check(text)
      return text
    } catch {
      return problem(path, expected, 'something else in that file')
    }
  }

  const certificate = (path: FieldPath, name: string) =>
    pem(path, name, 'a file with a PEM certificate', (text) => createSecureContext({ ca: text, cert: text }))
  const key = (path: FieldPath, name: string) =>
    pem(path, name, 'a file with a PEM private key that needs no passphrase', createPrivateKey)

  return {
    certificate,
    async pair(path: FieldPath, names: { cert: string; key: string }) {
      const pair = {
        cert: await certificate([...path, 'cert'], names.cert),
        key: await key([...path, 'key'], names.key),
      }
      try {
        if (pair.cert && pair.key) createSecureContext(pair)
      } catch {
        problem([...path, 'key'], 'the key of that certificate', 'that of another one')
      }
      return pair
    },
    async password({ env, file: name }: { env?: string; file?: string }): Promise<string> {
      const path = ['credential', 'password', env === undefined ? 'file' : 'env']
      if (env !== undefined) {
        return secrets.env(env) || problem(path, 'an environment variable that is set', 'one that is not')
      }
      const text = await file(path, name ?? '')
      return text === undefined
        ? ''
        : text.replace(/\r?\n$/, '') || problem(path, 'a file with a password', 'an empty one')
    },
  }
}
