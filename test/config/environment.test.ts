import { inspect } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Config, EnvironmentError, surroundingsOf } from '../../src/config/config.ts'
import { readEnvironment } from '../../src/config/environment.ts'
import { forTests, notServedYet, settings } from '../../src/config/settings.ts'

const machine = { hostname: 'edge-7', directory: '/srv/outport' }
const read = (env: Record<string, string | undefined>): Config => readEnvironment(env, machine)

function problemsOf(env: Record<string, string | undefined>): readonly string[] {
  try {
    read(env)
    return []
  } catch (error) {
    if (error instanceof EnvironmentError) return error.problems
    throw error
  }
}

test('nothing has to be set', () => {
  expect(read({ PATH: '/bin', OUTPORT_LISTEN: '' })).toEqual({
    listen: [{ scheme: 'http', port: 5000 }],
    mirrorListen: undefined,
    mirror: { name: 'docker.io', set: false },
    data: '/srv/outport/data',
    policies: '/srv/outport/policies',
    tls: [{ cert: '/srv/outport/data/tls/server.crt', key: '/srv/outport/data/tls/server.key' }],
    tlsIsOwn: true,
    tlsCa: { file: '/srv/outport/data/tls/ca.crt', isRequired: false },
    tlsRedirect: false,
    durability: 'full',
    logLevels: { rest: 'info', parts: {} },
    accessLog: { oneIn: 1 },
    slowMs: 10_000,
    site: 'edge-7',
    proxy: {},
  })
})

test('everything can be set', () => {
  const config = read({
    OUTPORT_LISTEN: ':5000, https://127.0.0.1:0,HTTPS://[::1]:5443,http://edge.corp:80',
    OUTPORT_MIRROR_LISTEN: ':5001',
    OUTPORT_MIRROR: 'docker.io',
    OUTPORT_DATA: '/var/lib/outport',
    OUTPORT_POLICIES: '../policies',
    OUTPORT_TLS_CERT: '/etc/a.pem, b.pem',
    OUTPORT_TLS_KEY: '/etc/a.key,b.key',
    OUTPORT_TLS_CA: 'corp.pem',
    OUTPORT_TLS_REDIRECT: 'on',
    OUTPORT_PUBLIC_URL: 'https://Edge.corp/',
    OUTPORT_METRICS_LISTEN: '127.0.0.1:9100',
    OUTPORT_DURABILITY: 'fast',
    OUTPORT_LOG_LEVEL: 'debug, fill=trace',
    OUTPORT_ACCESS_LOG: '1/100',
    OUTPORT_SLOW_REQUEST: '3s',
    OUTPORT_SITE: 'branch-7',
    OUTPORT_FAILPOINT: 'after-rename',
    HTTPS_PROXY: 'http://upper.corp:1',
    https_proxy: 'http://me:secret@lower.corp:3128',
    HTTP_PROXY: 'proxy.corp:3128',
    no_proxy: 'corp,10.0.0.0/8',
    SSL_CERT_FILE: 'ca.pem',
  })
  expect(config).toEqual({
    listen: [
      { scheme: 'http', port: 5000 },
      { scheme: 'https', host: '127.0.0.1', port: 0 },
      { scheme: 'https', host: '::1', port: 5443 },
      { scheme: 'http', host: 'edge.corp', port: 80 },
    ],
    mirrorListen: [{ scheme: 'http', port: 5001 }],
    mirror: { name: 'docker.io', set: true },
    data: '/var/lib/outport',
    policies: '/srv/policies',
    tls: [
      { cert: '/etc/a.pem', key: '/etc/a.key' },
      { cert: '/srv/outport/b.pem', key: '/srv/outport/b.key' },
    ],
    tlsIsOwn: false,
    tlsCa: { file: '/srv/outport/corp.pem', isRequired: true },
    tlsRedirect: true,
    publicUrl: 'https://edge.corp',
    metricsListen: [{ scheme: 'http', host: '127.0.0.1', port: 9100 }],
    durability: 'fast',
    logLevels: { rest: 'debug', parts: { fill: 'trace' } },
    accessLog: { oneIn: 100 },
    slowMs: 3000,
    site: 'branch-7',
    failpoint: 'after-rename',
    proxy: {
      httpsProxy: 'http://me:secret@lower.corp:3128/',
      httpProxy: 'http://proxy.corp:3128/',
      noProxy: 'corp,10.0.0.0/8',
    },
    authorities: '/srv/outport/ca.pem',
  })
  expect(Object.isFrozen(config) && Object.isFrozen(config.listen) && Object.isFrozen(config.proxy)).toBe(
    true,
  )
})

test('printing it shows no password', () => {
  const config = read({
    HTTPS_PROXY: 'http://me:hunter2@proxy.corp:3128',
    http_proxy: 'hunter2@proxy.corp',
    OUTPORT_ADMIN_PASSWORD: 'hunter2hunter2',
  })
  expect(config.adminPassword).toBe('hunter2hunter2')
  for (const printed of [
    JSON.stringify(config),
    inspect(config, { depth: 9 }),
    inspect(config.proxy),
    `${config}`,
  ]) {
    expect(printed).not.toContain('hunter2')
  }
  expect(JSON.stringify(config)).toContain('"httpsProxy":"http://…@proxy.corp:3128"')
})

test('all problems are told at once, without a secret', () => {
  const problems = problemsOf({
    OUTPORT_LISTEN: '5000',
    OUTPORT_MIRROR: 'Docker.io',
    OUTPORT_PUBLIC_URL: 'https://me:hunter2@edge.corp',
    OUTPORT_DURABILITY: 'quick',
    OUTPORT_LOGLEVEL: 'debug',
    OUTPORT_SITE: 'a "site"',
    OUTPORT_ADMIN_PASSWORD: 'hunter2',
    OUTPORT_HUB_TOKEN: 'hunter2',
    OUTPORT_TLS_CERT: 'a.pem',
    OUTPORT_TLS_KEY: '-----BEGIN PRIVATE KEY-----\nhunter2',
    HTTPS_PROXY: 'socks5://me:hunter2@proxy.corp',
  })
  expect(problems).toEqual([
    'OUTPORT_LISTEN: expected [http://|https://]host:port, such as :5000 or https://127.0.0.1:5443, found "5000"',
    'OUTPORT_TLS_KEY: expected paths of files with commas between them, found "-----BEGIN…"',
    'OUTPORT_TLS_CERT and OUTPORT_TLS_KEY: expected as many certificates as keys, found 1 and 0',
    'OUTPORT_MIRROR: expected the name of a project such as docker.io, found "Docker.io"',
    'OUTPORT_PUBLIC_URL: expected an address without a path, such as https://registry.corp, found "https://…@edge.corp"',
    'OUTPORT_DURABILITY: expected one of full, fast, found "quick"',
    'OUTPORT_SITE: expected at most 128 printable ASCII characters without blanks, quotes and backslashes, found "a \\"site\\""',
    'OUTPORT_ADMIN_PASSWORD: expected at least 8 characters, and nothing that everybody knows, found something else',
    'HTTPS_PROXY: expected the address of a proxy such as http://proxy.corp:3128, found something else',
    'OUTPORT_LOGLEVEL: there is no such setting; did you mean OUTPORT_LOG_LEVEL?',
    'OUTPORT_HUB_TOKEN: there is no such setting; a secret for policies needs a name that does not begin with OUTPORT_',
  ])
  expect(problems.join()).not.toContain('hunter2')
})

describe('a door', () => {
  test.each([
    '',
    ' ',
    ':',
    ':65536',
    ':x',
    'a:b:1',
    '[::1]',
    '::1:5000',
    '[127.0.0.1]:1',
    '300.0.0.1:1',
    'ftp://:1',
    'http://:1/v2',
    ':1,',
    'a b:1',
    '-a:1',
  ])('is not %j', (listen) =>
    expect(problemsOf({ OUTPORT_LISTEN: ` ${listen}` })).toEqual([
      expect.stringContaining('OUTPORT_LISTEN: expected'),
    ]))

  test('is opened once', () => {
    expect(problemsOf({ OUTPORT_LISTEN: ':5000', OUTPORT_MIRROR_LISTEN: '127.0.0.1:5000' })).toEqual([
      'OUTPORT_MIRROR_LISTEN: http://127.0.0.1:5000 is taken by OUTPORT_LISTEN',
    ])
    expect(problemsOf({ OUTPORT_METRICS_LISTEN: '[::]:5000' })).toHaveLength(1)
    expect(
      problemsOf({ OUTPORT_LISTEN: '127.0.0.1:1,[::1]:1', OUTPORT_MIRROR_LISTEN: '127.0.0.2:1' }),
    ).toEqual([])
    expect(problemsOf({ OUTPORT_LISTEN: '127.0.0.1:0', OUTPORT_MIRROR_LISTEN: '127.0.0.1:0' })).toEqual([])
  })

  test('speaks https with the certificates that are named, or else with those in the data', () => {
    expect(read({ OUTPORT_MIRROR_LISTEN: 'https://:5443', OUTPORT_DATA: '/d' })).toMatchObject({
      tls: [{ cert: '/d/tls/server.crt', key: '/d/tls/server.key' }],
      tlsCa: { file: '/d/tls/ca.crt', isRequired: false },
    })
    const named = { OUTPORT_LISTEN: 'https://:1', OUTPORT_TLS_CERT: 'a', OUTPORT_TLS_KEY: 'b' }
    expect(read(named)).not.toHaveProperty('tlsCa')
    expect(problemsOf({ OUTPORT_TLS_CERT: 'a', OUTPORT_TLS_KEY: 'b' })).toEqual([
      'OUTPORT_TLS_CERT: no door speaks https, such as OUTPORT_LISTEN=https://:5000',
    ])
    expect(
      problemsOf({ OUTPORT_LISTEN: 'https://:1', OUTPORT_TLS_CERT: 'a,b', OUTPORT_TLS_KEY: 'c' }),
    ).toEqual(['OUTPORT_TLS_CERT and OUTPORT_TLS_KEY: expected as many certificates as keys, found 2 and 1'])
    expect(problemsOf({ OUTPORT_TLS_CA: '-----BEGIN CERTIFICATE-----' })).toEqual([
      'OUTPORT_TLS_CA: expected the path of a file, found "-----BEGIN…"',
    ])
  })

  test('leads to another one of its list', () => {
    const redirect = { OUTPORT_TLS_REDIRECT: 'on' }
    expect(read({ ...redirect, OUTPORT_LISTEN: ':80,https://:443' }).tlsRedirect).toBe(true)
    for (const doors of [
      { OUTPORT_LISTEN: ':80' },
      { OUTPORT_LISTEN: ':80', OUTPORT_MIRROR_LISTEN: 'https://:443' },
      { OUTPORT_LISTEN: 'https://:443' },
    ]) {
      expect(problemsOf({ ...redirect, ...doors })).toEqual([
        expect.stringContaining('OUTPORT_TLS_REDIRECT: needs doors of both kinds'),
      ])
    }
    expect(problemsOf({ OUTPORT_TLS_REDIRECT: 'yes' })).toEqual([
      'OUTPORT_TLS_REDIRECT: expected one of on, off, found "yes"',
    ])
  })
})

test('policies are told where the mirror door is', () => {
  expect(surroundingsOf(read({}))).toEqual({
    mirrorListen: 'unset',
    mirror: { name: 'docker.io', set: false },
  })
  expect(surroundingsOf(read({ OUTPORT_MIRROR_LISTEN: 'off' }))).toMatchObject({ mirrorListen: 'off' })
  expect(surroundingsOf(read({ OUTPORT_MIRROR_LISTEN: ':1', OUTPORT_MIRROR: 'hub' }), 7)).toEqual({
    mirrorListen: 'set',
    mirror: { name: 'hub', set: true },
    diskBytes: 7,
  })
})

test('a host name that cannot stand in a token is no site', () => {
  expect(() => readEnvironment({}, { ...machine, hostname: 'büro' })).toThrow('OUTPORT_SITE: needed here')
  expect(readEnvironment({ OUTPORT_SITE: 'office' }, { ...machine, hostname: 'büro' }).site).toBe('office')
})

describe('names that begin with OUTPORT_', () => {
  test('are all known, or a problem', () => {
    for (const { name } of settings)
      expect(problemsOf({ [name]: 'x' }).join()).not.toContain('no such setting')
    for (const name of notServedYet)
      expect(problemsOf({ [name]: 'x' })).toEqual([expect.stringContaining('does not serve')])
    for (const name of forTests) expect(problemsOf({ [name]: 'x' })).toEqual([])
    expect(problemsOf({ OUTPORT_LISTN: ':1' })).toEqual([
      expect.stringContaining('did you mean OUTPORT_LISTEN?'),
    ])
  })

  test('are not those that Kubernetes makes of a Service that is called outport', () => {
    const links = {
      OUTPORT_SERVICE_HOST: '10.0.0.1',
      OUTPORT_SERVICE_PORT: '5000',
      OUTPORT_SERVICE_PORT_REGISTRY: '5000',
      OUTPORT_PORT: 'tcp://10.0.0.1:5000',
      OUTPORT_PORT_5000_TCP: 'tcp://10.0.0.1:5000',
      OUTPORT_PORT_5000_TCP_ADDR: '10.0.0.1',
      OUTPORT_METRICS_PORT_9100_TCP_PROTO: 'tcp',
      OUTPORT_METRICS_SERVICE_HOST: '10.0.0.2',
    }
    expect(problemsOf(links)).toEqual([])
    expect(problemsOf({ OUTPORT_PORT: '5000' })).toEqual([
      expect.stringContaining('OUTPORT_PORT: there is no such setting'),
    ])
  })
})

test('any environment ends in a config or in problems that are sentences', () => {
  const names = [...settings.map(({ name }) => name), ...notServedYet, 'OUTPORT_X', 'http_proxy']
  const values = fc.oneof(
    fc.string(),
    fc.constantFrom(':5000', 'https://[::]:1', 'off', 'a,b', 'http://u:p@h:1', 'fast', '%'),
  )
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...names), values), (env) => {
      for (const problem of problemsOf(env)) expect(problem).toMatch(/^\S+( and \S+)?: ./)
    }),
    { numRuns: 500 },
  )
})
