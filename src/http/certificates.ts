import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import { messageOf } from '../flow/message-of.ts'
import { createTurns } from '../flow/turns.ts'
import { unlessAbsent } from '../flow/unless-absent.ts'
import { readCertificates } from '../tls/described.ts'
import { namesIn } from '../tls/names.ts'

export interface CertificateFiles {
  cert: string
  key: string
}

/** The certificate that clients are to trust. */
export interface AuthorityFile {
  file: string
  /** It is an error when it is not there. */
  isRequired: boolean
}

/** What stands in a certificate that is served now. */
export interface ServedCertificate {
  file: string
  /** Host names and addresses, as its subjectAltName lists them. */
  names: string[]
  /** Milliseconds since 1970 until which clients take it. */
  notAfter: number
}

/** The certificates of a site: one for each name it serves under, the first for clients that name none. */
export interface Certificates {
  options(): SecureContextOptions & { SNICallback: SniCallback }
  served(): ServedCertificate[]
  /** Whether one of them is for that host name or address. */
  cover(host: string): boolean
  /** Of the authority, PEM; `undefined`: there is none to be had here. */
  authority(): string | undefined
  /** Reads the files again, whole or not at all. @throws naming the file; what was served before goes on */
  reload(): Promise<void>
  onReload(listener: (options: SecureContextOptions) => void): () => void
}

type SniCallback = (name: string, done: (error: Error | null, context?: SecureContext) => void) => void

interface Loaded {
  certificates: LoadedCertificate[]
  authority: string | undefined
}

interface LoadedCertificate {
  served: ServedCertificate
  options: SecureContextOptions
  context: SecureContext
  covers(name: string): boolean
}

/** @throws naming the file that is missing, unreadable, or no certificate or key for the other */
export async function loadCertificates(
  files: readonly CertificateFiles[],
  authority?: AuthorityFile,
): Promise<Certificates> {
  const load = async (): Promise<Loaded> => ({
    certificates: await Promise.all(files.map(loadCertificate)),
    authority: authority && (await readAuthority(authority)),
  })
  let loaded = await load()
  const listeners = new Set<(options: SecureContextOptions) => void>()
  const turns = createTurns()
  const first = () => loaded.certificates[0]?.options ?? {}
  const covering = (name: string) => loaded.certificates.find((each) => each.covers(name))
  return {
    options: () => ({
      ...first(),
      SNICallback(name, done) {
        done(null, (covering(name) ?? loaded.certificates[0])?.context)
      },
    }),
    served: () => loaded.certificates.map(({ served }) => served),
    cover: (host) => covering(host) !== undefined,
    authority: () => loaded.authority,
    reload: () =>
      turns.take(async () => {
        loaded = await load()
        for (const listener of listeners) listener(first())
      }),
    onReload(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

async function loadCertificate({ cert, key }: CertificateFiles): Promise<LoadedCertificate> {
  const options = { cert: await read(cert), key: await read(key) }
  try {
    const context = createSecureContext(options)
    const parsed = new X509Certificate(options.cert)
    const served = { file: cert, names: namesIn(parsed), notAfter: parsed.validToDate.getTime() }
    const covers = (name: string) =>
      (isIP(name) ? parsed.checkIP(name) : parsed.checkHost(name)) !== undefined
    return { served, options, context, covers }
  } catch (cause) {
    throw new Error(`cannot use the certificate ${cert} with the key ${key}: ${messageOf(cause)}`, { cause })
  }
}

/** Its certificates and nothing else: somebody may keep the key in the same file. */
async function readAuthority({ file, isRequired }: AuthorityFile): Promise<string | undefined> {
  const reading = readCertificates(file)
  const certificates = await (isRequired ? reading : unlessAbsent(reading))
  return certificates?.join('')
}

async function read(file: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (cause) {
    throw new Error(`cannot read ${file}: ${messageOf(cause)}`, { cause })
  }
}
