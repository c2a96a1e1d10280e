// What the X.509 library finds its parts with; it asks for it when it is loaded.
import 'reflect-metadata'
import {
  createPrivateKey,
  KeyObject,
  randomBytes,
  subtle,
  type webcrypto,
  X509Certificate,
} from 'node:crypto'
import { isIP } from 'node:net'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  X509Certificate as Parsed,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'

/** A certificate and its private key, PEM. */
export interface Pair {
  cert: string
  key: string
}

const dayMs = 86_400_000
const caDays = 3650
/** Apple's clients take 398 days of a public authority and 825 of a private one; Go and OpenSSL set no limit. */
const serverDays = 397
/** For clients whose clocks are slow. */
const earlierMs = dayMs

const curve = { name: 'ECDSA', namedCurve: 'P-256' }
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' }

/** An authority for the servers of one site, for ten years. @param host what it is told apart by */
export async function createAuthority(host: string, now: Date): Promise<Pair> {
  const keys = await subtle.generateKey(curve, true, ['sign', 'verify'])
  const name = commonName(`Outport CA ${randomBytes(4).toString('hex')} ${host}`)
  const certificate = await X509CertificateGenerator.createSelfSigned({
    ...{ name, keys, signingAlgorithm, serialNumber: serialNumber() },
    ...validity(now, caDays),
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return pairOf(certificate, keys.privateKey)
}

/**
 * A server's certificate with a key of its own, for 397 days, or as long as the authority lasts.
 * @param names host names and IP addresses
 */
export async function issueCertificate(authority: Pair, names: readonly string[], now: Date): Promise<Pair> {
  const issuer = new Parsed(authority.cert)
  const keys = await subtle.generateKey(curve, true, ['sign', 'verify'])
  const { notBefore, notAfter } = validity(now, serverDays)
  const certificate = await X509CertificateGenerator.create({
    ...{ signingAlgorithm, serialNumber: serialNumber(), publicKey: keys.publicKey },
    subject: commonName(names[0] ?? ''),
    issuer: issuer.subjectName,
    signingKey: createPrivateKey(authority.key).toCryptoKey(curve, false, ['sign']),
    notBefore,
    notAfter: issuer.notAfter < notAfter ? issuer.notAfter : notAfter,
    extensions: await serverExtensions(issuer, keys.publicKey, names),
  })
  return pairOf(certificate, keys.privateKey)
}

async function serverExtensions(
  issuer: Parsed,
  publicKey: webcrypto.CryptoKey,
  names: readonly string[],
): Promise<Extension[]> {
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
    new SubjectAlternativeNameExtension(
      names.map((value) => ({ type: isIP(value) ? ('ip' as const) : ('dns' as const), value })),
    ),
    await AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    await SubjectKeyIdentifierExtension.create(publicKey),
  ]
}

function validity(now: Date, days: number): { notBefore: Date; notAfter: Date } {
  const notBefore = now.getTime() - earlierMs
  return { notBefore: new Date(notBefore), notAfter: new Date(notBefore + days * dayMs) }
}

/** Positive, of 127 random bits (RFC 5280, 4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(16)
  return Buffer.from([((bytes[0] ?? 0) & 0x3f) | 0x40, ...bytes.subarray(1)]).toString('hex')
}

/** RFC 5280, ub-common-name: at most 64 characters. */
function commonName(name: string): { CN: string[] }[] {
  return [{ CN: [name.slice(0, 64)] }]
}

function pairOf(certificate: Parsed, privateKey: webcrypto.CryptoKey): Pair {
  return {
    cert: new X509Certificate(Buffer.from(certificate.rawData)).toString(),
    key: String(KeyObject.from(privateKey).export({ type: 'pkcs8', format: 'pem' })),
  }
}
