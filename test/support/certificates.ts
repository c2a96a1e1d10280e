import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { isIPv4 } from 'node:net'

/** PEM. */
export interface KeyAndCertificate {
  key: string
  cert: string
}

export interface IssueOptions {
  /** Host names and IPv4 addresses. */
  names: readonly string[]
  /** Default: a day ago and in a day. */
  notBefore?: Date
  notAfter?: Date
}

export interface Authority {
  /** The authority's own certificate, PEM. */
  readonly ca: string
  issue(options: IssueOptions): KeyAndCertificate
}

const dayMs = 24 * 60 * 60 * 1000
const ecdsaWithSha256 = sequence(objectId('2a8648ce3d040302'))

/** A certificate authority for tests: X.509 v3 (RFC 5280), P-256. */
export function createAuthority(name = 'outport test authority'): Authority {
  const { publicKey, privateKey } = keyPair()
  // basicConstraints, critical: cA TRUE
  const isAuthority = extension('551d13', sequence(Buffer.from([0x01, 0x01, 0xff])), true)
  const common = { issuer: name, signer: privateKey }
  return {
    ca: certificate({ ...common, subject: name, publicKey, extensions: [isAuthority], ...validity({}) }),
    issue(options) {
      const own = keyPair()
      const alternatives = extension('551d11', sequence(...options.names.map(generalName)))
      const subject = options.names[0] ?? 'nobody'
      const { publicKey } = own
      const cert = certificate({
        ...common,
        subject,
        publicKey,
        extensions: [alternatives],
        ...validity(options),
      })
      return { key: pem('PRIVATE KEY', own.privateKey.export({ type: 'pkcs8', format: 'der' })), cert }
    },
  }
}

interface CertificateParts {
  subject: string
  issuer: string
  publicKey: KeyObject
  signer: KeyObject
  notBefore: Date
  notAfter: Date
  extensions: Buffer[]
}

function certificate(parts: CertificateParts): string {
  const version3 = der(0xa0, der(0x02, Buffer.from([2])))
  const serial = der(0x02, Buffer.from([0x40]), randomBytes(15))
  const tbs = sequence(
    version3,
    serial,
    ecdsaWithSha256,
    distinguishedName(parts.issuer),
    sequence(time(parts.notBefore), time(parts.notAfter)),
    distinguishedName(parts.subject),
    parts.publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...parts.extensions)),
  )
  const signature = der(0x03, Buffer.from([0]), sign('sha256', tbs, parts.signer))
  return pem('CERTIFICATE', sequence(tbs, ecdsaWithSha256, signature))
}

function validity({ notBefore, notAfter }: Partial<IssueOptions>): { notBefore: Date; notAfter: Date } {
  const now = Date.now()
  return { notBefore: notBefore ?? new Date(now - dayMs), notAfter: notAfter ?? new Date(now + dayMs) }
}

function keyPair(): { publicKey: KeyObject; privateKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

function distinguishedName(commonName: string): Buffer {
  return sequence(der(0x31, sequence(objectId('550403'), der(0x0c, Buffer.from(commonName)))))
}

function generalName(name: string): Buffer {
  return isIPv4(name) ? der(0x87, Buffer.from(name.split('.').map(Number))) : der(0x82, Buffer.from(name))
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  const flag = critical ? [Buffer.from([0x01, 0x01, 0xff])] : []
  return sequence(objectId(id), ...flag, der(0x04, value))
}

/** UTCTime, as RFC 5280 asks for before 2050. */
function time(date: Date): Buffer {
  return der(
    0x17,
    Buffer.from(
      date
        .toISOString()
        .replace(/[-:T]|\.\d+/g, '')
        .slice(2),
    ),
  )
}

function objectId(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, 'hex'))
}

function sequence(...contents: Buffer[]): Buffer {
  return der(0x30, ...contents)
}

function der(tag: number, ...contents: Buffer[]): Buffer {
  const body = Buffer.concat(contents)
  return Buffer.concat([Buffer.from([tag, ...lengthOf(body)]), body])
}

function lengthOf({ length }: Buffer): number[] {
  if (length < 0x80) return [length]
  return length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
}

function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}
