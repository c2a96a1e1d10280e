import * as z from 'zod'
import {
  count,
  filePath,
  flag,
  grammar,
  host,
  hostAndPort,
  list,
  mapping,
  name,
  oneOf,
  percentage,
  text,
  timeout,
} from './fields.ts'
import { aRegistryUrl, parseRegistryUrl } from './registry-url.ts'
import { parseRate } from './units.ts'

const url = text(aRegistryUrl, parseRegistryUrl, '^https?://')

const notInTheClear = '{ env: NAME } or { file: /path }, never the password itself'

const password = z
  .strictObject(
    {
      env: text(
        'the name of an environment variable',
        grammar('[A-Za-z_][A-Za-z0-9_]*', 'the name of an environment variable'),
      )
        .optional()
        .describe('Environment variable that holds the password'),
      file: filePath.optional().describe('File that holds the password, relative to this folder'),
    },
    { error: (issue) => (issue.code === 'invalid_type' ? notInTheClear : undefined) },
  )
  .superRefine(({ env, file }, context) => {
    if ((env === undefined) === (file === undefined))
      context.addIssue({ code: 'custom', message: notInTheClear })
  })

const credential = mapping({
  username: z.string({ error: 'a user name' }).min(1, { error: 'a user name' }),
  password,
})

/** A plain rate, or the name of a calendar: only a rate holds a slash. */
const bandwidth = text('a rate such as 20MiB/s or the name of a calendar', (value) =>
  value.includes('/')
    ? { kind: 'rate' as const, bytesPerSecond: parseRate(value) }
    : { kind: 'calendar' as const, name: value },
)

const reserve = z.union(
  [
    count(0, 1_000_000).transform((requests) => ({ kind: 'requests' as const, requests })),
    percentage.transform((fraction) => ({ kind: 'fraction' as const, fraction })),
  ],
  { error: 'a number of requests or a percentage such as 10%' },
)

const segments = z.union([z.literal('auto'), count(1, 8)], { error: 'auto or a whole number from 1 to 8' })

/** A remote endpoint. */
export const registryDocument = mapping({
  kind: z.literal('registry'),
  name,
  type: oneOf(['docker-hub', 'harbor', 'docker-registry', 'outport']).describe('What answers there'),
  url: url.optional().describe('Where it is; docker-hub knows its own'),
  urls: list(url, 'a list of addresses')
    .min(1, { error: 'at least one address' })
    .optional()
    .describe('Instead of url: several ways to the same registry, tried in order'),
  address: hostAndPort.optional().describe('Where to connect to, when the name of the url leads back here'),
  ns: hostAndPort.optional().describe("What containerd's ?ns= calls it; default: the host of the url"),
  serveAs: list(host, 'a list of host names')
    .prefault([])
    .describe('Host names under which this site answers as this registry'),
  credential: credential.optional(),
  tokenHosts: list(hostAndPort, 'a list of hosts')
    .optional()
    .describe('Other hosts whose token service may be given the credential'),
  redirectHosts: list(hostAndPort, 'a list of hosts')
    .prefault([])
    .describe('Private hosts that its redirects may lead to'),
  ca: filePath.optional().describe('PEM file of the authority that signed its certificate'),
  clientCertificate: mapping({ cert: filePath, key: filePath }).optional(),
  insecure: flag.prefault(false).describe('Do not check its certificate'),
  bandwidth: bandwidth
    .optional()
    .describe('A rate such as 20MiB/s for all blobs together, or the name of a calendar'),
  connections: count(1, 1024).prefault(32).describe('How many bodies of blobs are open at a time'),
  timeouts: mapping({
    head: timeout.prefault('10s').describe('Until an answer begins'),
    idle: timeout.prefault('30s').describe('Between two pieces of an answer'),
  })
    .prefault({})
    .describe('How long upstream is waited for'),
  budget: mapping({ reserve })
    .optional()
    .describe('Requests of its rate limit to keep back for what somebody waits for; default: 10%'),
  segments: segments
    .prefault('auto')
    .describe(
      'Ranges of one large blob that are fetched at a time, 8 at most; auto: as many as the line is worth',
    ),
}).superRefine(({ type, url, urls }, context) => {
  if (url !== undefined && urls !== undefined) {
    context.addIssue({ code: 'custom', path: ['urls'], message: 'either url or urls' })
  }
  if (url === undefined && urls === undefined && type !== 'docker-hub') {
    context.addIssue({ code: 'custom', path: ['url'], message: aRegistryUrl })
  }
})

export type RegistryDocument = z.output<typeof registryDocument>
