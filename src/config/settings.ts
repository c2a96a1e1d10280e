export interface Setting {
  name: string
  /** What holds when it is not set, in words where it is no value. */
  default: string
  /** One line, to follow the name. */
  meaning: string
}

/** Every environment variable an operator may set. Help and README are held to this table. */
export const settings = [
  {
    name: 'OUTPORT_LISTEN',
    default: ':5000',
    meaning:
      'doors with the registry face: a list of [http://|https://]host:port, plain where nothing is said',
  },
  {
    name: 'OUTPORT_MIRROR_LISTEN',
    default: 'not said',
    meaning: 'doors with the mirror face, as above; off says that there is none',
  },
  { name: 'OUTPORT_MIRROR', default: 'docker.io', meaning: 'the project that is the default mirror' },
  { name: 'OUTPORT_DATA', default: './data', meaning: 'the folder this node keeps its data in' },
  {
    name: 'OUTPORT_POLICIES',
    default: './policies',
    meaning:
      'the folder that says what this site does; where it is not set and not there, the set that comes along',
  },
  {
    name: 'OUTPORT_TLS_CERT',
    default: 'what `tls init` has made',
    meaning: 'PEM files of certificates with their chains; several are chosen by name',
  },
  {
    name: 'OUTPORT_TLS_KEY',
    default: 'what `tls init` has made',
    meaning: 'PEM files of their keys, in the same order',
  },
  {
    name: 'OUTPORT_TLS_CA',
    default: 'that of `tls init`, with its certificate',
    meaning: 'PEM file of the authority that clients may fetch here and trust',
  },
  {
    name: 'OUTPORT_TLS_REDIRECT',
    default: 'off',
    meaning: 'on leads who comes without TLS to the https door of the same list',
  },
  {
    name: 'OUTPORT_PUBLIC_URL',
    default: 'as it was asked',
    meaning: 'the address clients know this site by',
  },
  {
    name: 'OUTPORT_METRICS_LISTEN',
    default: 'the registry door while the site only mirrors, else loopback',
    meaning: 'doors for /metrics alone',
  },
  {
    name: 'OUTPORT_DURABILITY',
    default: 'full',
    meaning: 'full syncs what is stored to the disk; fast leaves that to the system',
  },
  {
    name: 'OUTPORT_ADMIN_PASSWORD',
    default: 'made at the first start that needs one, and printed once',
    meaning: 'the password of admin: at least 8 characters',
  },
  {
    name: 'OUTPORT_HTPASSWD',
    default: 'none',
    meaning: 'a file of further users, as htpasswd -B writes it; followed as it changes',
  },
  {
    name: 'OUTPORT_LOG_LEVEL',
    default: 'info',
    meaning: 'trace, debug, info, warn, error, fatal or silent; of parts, too, as in info,upstream=debug',
  },
  {
    name: 'OUTPORT_ACCESS_LOG',
    default: 'all',
    meaning: 'answers to log beside those that failed or were slow: all, errors (no others), or as 1/100',
  },
  {
    name: 'OUTPORT_SLOW_REQUEST',
    default: '10s',
    meaning: 'how long the first byte of an answer may take until it is called slow; off: never',
  },
  { name: 'OUTPORT_SITE', default: 'the host name', meaning: 'the name of this site' },
  { name: 'HTTP_PROXY', default: 'none', meaning: 'proxy for upstreams that are asked over http' },
  { name: 'HTTPS_PROXY', default: 'none', meaning: 'proxy for upstreams that are asked over https' },
  { name: 'NO_PROXY', default: 'none', meaning: 'hosts that are asked without a proxy' },
  { name: 'SSL_CERT_FILE', default: "Node's own", meaning: 'PEM file of the authorities to trust' },
] as const satisfies readonly Setting[]

/** Names that mean something, but nothing this version does: better refused than believed. */
export const notServedYet: readonly string[] = ['OUTPORT_DATABASE_URL', 'OUTPORT_REDIS_URL', 'OUTPORT_S3_URL']

/** For the tests of this program; no settings of an operator. */
export const forTests: readonly string[] = ['OUTPORT_FAILPOINT', 'OUTPORT_SOAK_SECONDS']
