import { createPrivateKey, type X509Certificate } from 'node:crypto'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { unlessAbsent } from '../flow/unless-absent.ts'
import { createAuthority, issueCertificate, type Pair } from './authority.ts'
import { readCertificates } from './described.ts'
import { namesIn } from './names.ts'
import type { OwnFiles } from './own-files.ts'

export interface OwnCertificatesOptions {
  files: OwnFiles
  /** For the new certificate; none: those of the one that is there, and at first `namesOfMachine`. */
  names: readonly string[]
  namesOfMachine: readonly string[]
  /** Puts the authority that is there aside and makes another. */
  newCa: boolean
  /** What the authority is told apart by. */
  host: string
  now: Date
}

const orNewCa = 'or make another authority with --new-ca, which every client must then be given'

/**
 * Makes the server a new certificate with a new key, and an authority where there is none. A file that is there and was
 * not made so is never overwritten.
 * @returns whether the authority is new
 * @throws in one line that names the file in the way, before anything is changed
 */
export async function makeOwnCertificates(options: OwnCertificatesOptions): Promise<boolean> {
  const { files, newCa, host, now } = options
  await mkdir(files.folder, { recursive: true, mode: 0o700 })
  const [ca] = (await unlessAbsent(readCertificates(files.ca))) ?? []
  const [old] = (await unlessAbsent(readCertificates(files.cert))) ?? []
  if (old && !(ca && old.verify(ca.publicKey)))
    throw new Error(`${files.cert} was not made by ${files.ca}: move it away first`)
  const names = old && options.names.length === 0 ? namesIn(old) : options.names

  const kept = newCa ? undefined : await readAuthority(files, ca, now)
  const authority = kept ?? (await createAuthority(host, now))
  const server = await issueCertificate(authority, names.length > 0 ? names : options.namesOfMachine, now)

  if (!kept) {
    await unlessAbsent(rename(files.caKey, `${files.caKey}.old`))
    await unlessAbsent(rename(files.ca, `${files.ca}.old`))
    await write(files.caKey, authority.key)
    await write(files.ca, authority.cert)
  }
  await write(files.key, server.key)
  await write(files.cert, server.cert)
  return !kept
}

/** `undefined`: there is none. @throws when it can sign nothing */
async function readAuthority(
  files: OwnFiles,
  ca: X509Certificate | undefined,
  now: Date,
): Promise<Pair | undefined> {
  const key = await unlessAbsent(readFile(files.caKey, 'utf8'))
  if (!ca && key === undefined) return undefined
  if (!ca || key === undefined)
    throw new Error(`${ca ? files.caKey : files.ca} is not there: put it back, ${orNewCa}`)
  if (!isKeyOf(ca, key))
    throw new Error(`${files.caKey} is not the P-256 key of ${files.ca}: put it back, ${orNewCa}`)
  if (ca.validToDate <= now) throw new Error(`${files.ca} has ended: make another authority with --new-ca`)
  return { cert: ca.toString(), key }
}

function isKeyOf(ca: X509Certificate, text: string): boolean {
  try {
    const key = createPrivateKey(text)
    return ca.ca && key.asymmetricKeyDetails?.namedCurve === 'prime256v1' && ca.checkPrivateKey(key)
  } catch {
    return false
  }
}

/** Whole or not at all, for this user only. */
async function write(file: string, text: string): Promise<void> {
  const draft = `${file}.new`
  await rm(draft, { force: true })
  await writeFile(draft, text, { mode: 0o600, flag: 'wx', flush: true })
  await rename(draft, file)
}
