import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'

export interface CertificateFiles {
  cert: string
  key: string
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
  /** Reads the files again, whole or not at all. @throws naming the file; what was served before goes on */
  reload(): Promise<void>
  onReload(listener: (options: SecureContextOptions) => void): () => void
}

type SniCallback = (name: string, done: (error: Error | null, context?: SecureContext) => void) => void

interface Loaded {
  served: ServedCertificate
  options: SecureContextOptions
  context: SecureContext
  covers(name: string): boolean
}

/** @throws naming the file that is missing, unreadable, or no certificate or key for the other */
export async function loadCertificates(files: readonly CertificateFiles[]): Promise<Certificates> {
  let loaded = await Promise.all(files.map(load))
  const listeners = new Set<(options: SecureContextOptions) => void>()
  const first = () => loaded[0]?.options ?? {}
  return {
    options: () => ({
      ...first(),
      SNICallback(name, done) {
        done(null, (loaded.find((each) => each.covers(name)) ?? loaded[0])?.context)
      },
    }),
    served: () => loaded.map(({ served }) => served),
    async reload() {
      loaded = await Promise.all(files.map(load))
      for (const listener of listeners) listener(first())
    },
    onReload(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

async function load({ cert, key }: CertificateFiles): Promise<Loaded> {
  const options = { cert: await read(cert), key: await read(key) }
  try {
    const context = createSecureContext(options)
    const parsed = new X509Certificate(options.cert)
    const served = { file: cert, names: namesOf(parsed), notAfter: parsed.validToDate.getTime() }
    return { served, options, context, covers: (name) => parsed.checkHost(name) !== undefined }
  } catch (cause) {
    throw new Error(`cannot use the certificate ${cert} with the key ${key}: ${messageOf(cause)}`, { cause })
  }
}

/** Node quotes a name that could be taken for several, as JSON does. */
function namesOf({ subjectAltName = '' }: X509Certificate): string[] {
  const names = subjectAltName.matchAll(/(?:DNS|IP Address):("(?:[^"\\]|\\.)*"|[^,]*)/g)
  return [...names].map(([, name = '']) => (name.startsWith('"') ? JSON.parse(name) : name))
}

async function read(file: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (cause) {
    throw new Error(`cannot read ${file}: ${messageOf(cause)}`, { cause })
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
