import { resolve } from 'node:path'
import { isNameComponent } from '../oci/reference.ts'
import { quote } from '../policy/found.ts'
import { type Config, durabilities, EnvironmentError, printedAs } from './config.ts'
import { checkDoors, readDoors } from './doors.ts'
import { parseAccessLog, parseLogLevels, parseSlowRequest } from './logging.ts'
import { readProxies } from './proxies.ts'
import { createReader, type Environment, given, oneOf } from './reader.ts'
import { readTls } from './tls.ts'
import { checkNames } from './unknown-names.ts'

/** What stands in for settings that are not given. */
export interface Machine {
  hostname: string
  /** Where relative paths begin. */
  directory: string
  /** The folder of policies; default `policies` in {@link directory}. */
  policies?: string
}

/** An empty variable counts as not set. @throws EnvironmentError with every problem there is */
export function readEnvironment(env: Environment, machine: Machine): Config {
  const problems: string[] = []
  const read = createReader(env, problems)
  const path = (text: string) => resolve(machine.directory, text)

  const doors = readDoors(read)
  const doorsAreRight = problems.length === 0
  const data = read('OUTPORT_DATA', path) ?? path('data')
  const tls = readTls(read, path, data, problems)
  if (doorsAreRight) problems.push(...checkDoors(doors, tls))

  const config: Config = {
    ...doors,
    ...tls,
    mirror: Object.freeze({
      name: read('OUTPORT_MIRROR', parseProjectName) ?? 'docker.io',
      set: Boolean(env.OUTPORT_MIRROR),
    }),
    data,
    policies: read('OUTPORT_POLICIES', path) ?? machine.policies ?? path('policies'),
    ...given('publicUrl', read('OUTPORT_PUBLIC_URL', parseOrigin)),
    durability: read('OUTPORT_DURABILITY', oneOf(durabilities)) ?? 'full',
    logLevels: read('OUTPORT_LOG_LEVEL', parseLogLevels) ?? parseLogLevels('info'),
    accessLog: read('OUTPORT_ACCESS_LOG', parseAccessLog) ?? parseAccessLog('all'),
    slowMs: read('OUTPORT_SLOW_REQUEST', parseSlowRequest) ?? parseSlowRequest('10s'),
    site: read('OUTPORT_SITE', parseSite) ?? defaultSite(machine, problems, env),
    ...given('adminPassword', readPassword(env, problems)),
    ...given('htpasswd', read('OUTPORT_HTPASSWD', path)),
    ...given('failpoint', env.OUTPORT_FAILPOINT || undefined),
    proxy: readProxies(env, problems),
    ...given('authorities', read('SSL_CERT_FILE', path)),
  }
  problems.push(...checkNames(env))
  if (problems.length > 0) throw new EnvironmentError(problems)
  return Object.freeze(printedAs(config, withoutPassword(config)))
}

function withoutPassword(config: Config): object {
  return { ...config, ...(config.adminPassword !== undefined && { adminPassword: '…' }) }
}

/** Those that everybody tries first. */
const known = ['harbor12345', 'password', 'password1', 'changeme', 'administrator', '12345678', '123456789']

/** What was found is not told. */
function readPassword({ OUTPORT_ADMIN_PASSWORD: text }: Environment, problems: string[]): string | undefined {
  if (!text) return undefined
  if (text.length >= 8 && !known.includes(text.toLowerCase())) return text
  problems.push(
    'OUTPORT_ADMIN_PASSWORD: expected at least 8 characters, and nothing that everybody knows, found something else',
  )
  return undefined
}

function parseProjectName(text: string): string {
  if (!isNameComponent(text)) throw new SyntaxError('the name of a project such as docker.io')
  return text
}

function parseOrigin(text: string): string {
  const expected = 'an address without a path, such as https://registry.corp'
  if (!/^https?:\/\/[^/?#\\@\s]+\/?$/i.test(text) || !URL.canParse(text)) throw new SyntaxError(expected)
  return new URL(text).origin
}

function parseSite(text: string): string {
  if (!isSite(text))
    throw new SyntaxError('at most 128 printable ASCII characters without blanks, quotes and backslashes')
  return text
}

function isSite(text: string): boolean {
  return /^[!#-[\]-~]{1,128}$/.test(text)
}

function defaultSite({ hostname }: Machine, problems: string[], env: Environment): string {
  if (!env.OUTPORT_SITE && !isSite(hostname)) {
    problems.push(
      `OUTPORT_SITE: needed here, because the host name ${quote(hostname)} cannot be the name of a site`,
    )
  }
  return hostname
}
