import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { namesIn } from './names.ts'

/** What a certificate says, for people and for scripts. */
export interface Described {
  file: string
  subject: string
  issuer: string
  /** Host names and addresses. */
  names: string[]
  /** ISO 8601, as {@link Described.notAfter}. */
  notBefore: string
  notAfter: string
  /** SHA-256 of the certificate, as OpenSSL prints it. */
  fingerprint: string
}

const pemBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** All certificates of a PEM file, and nothing else that may be in it. @throws naming the file */
export async function readCertificates(file: string): Promise<[X509Certificate, ...X509Certificate[]]> {
  const text = await readFile(file, 'utf8')
  try {
    const [first = '', ...rest] = text.match(pemBlock) ?? []
    return [new X509Certificate(first), ...rest.map((each) => new X509Certificate(each))]
  } catch (cause) {
    throw new Error(`${file} holds no certificate in PEM`, { cause })
  }
}

export function describe(file: string, certificate: X509Certificate): Described {
  return {
    file,
    subject: inOneLine(certificate.subject),
    issuer: inOneLine(certificate.issuer),
    names: namesIn(certificate),
    notBefore: certificate.validFromDate.toISOString(),
    notAfter: certificate.validToDate.toISOString(),
    fingerprint: certificate.fingerprint256,
  }
}

/** Node gives a line to each part of a name. */
function inOneLine(name: string | undefined): string {
  return (name ?? '').replaceAll('\n', ', ')
}

/** @param now milliseconds since 1970 */
export function formatCertificate(title: string, described: Described, now: number): string {
  const { file, subject, issuer, names, notAfter, fingerprint } = described
  const days = Math.floor((Date.parse(notAfter) - now) / 86_400_000)
  const rows = [
    names.length > 0 ? ['for', names.join(' ')] : ['is', subject],
    ...(issuer === subject ? [] : [['of', issuer]]),
    ['until', `${notAfter.slice(0, 10)} (${days < 0 ? 'it has ended' : `${days} days`})`],
    ['SHA-256', fingerprint],
  ]
  return `${title} ${file}\n${rows.map(([name = '', value]) => `  ${name.padEnd(8)} ${value}\n`).join('')}`
}
