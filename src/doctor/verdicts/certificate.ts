import type { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import type { Mistake } from '../findings.ts'

/**
 * What is wrong with the certificate of a door for every client. Whom it comes from is for each client to judge.
 * @param times now, as this machine and as the node have it: a certificate is only bad when it is so for both
 */
export function certificateMistake(
  certificate: X509Certificate,
  { hostname }: URL,
  times: readonly number[],
): Mistake | undefined {
  const { validFromDate: from, validToDate: to } = certificate
  if (times.every((now) => now > to.getTime()))
    return {
      code: 'certificate-ended',
      what: `the certificate of ${hostname} ended on ${to.toISOString()}`,
      advice: 'renew it, and let the node read it: kill -HUP, or a restart',
    }
  if (times.every((now) => now < from.getTime()))
    return {
      code: 'certificate-not-yet-valid',
      what: `the certificate of ${hostname} is valid from ${from.toISOString()} on`,
      advice: 'wait, issue another one, or set the clock of the machine that issued it',
    }
  return covers(certificate, hostname)
    ? undefined
    : {
        code: 'certificate-name',
        what: `the certificate is not for ${hostname} but for ${namesIn(certificate)}`,
        advice: 'let clients use one of those names, or issue a certificate for this one',
      }
}

function covers(certificate: X509Certificate, hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, '')
  const found = isIP(host)
    ? certificate.checkIP(host)
    : // RFC 6125 §6.4.4: Go, in which all these clients are written, reads the alternative names only.
      certificate.checkHost(host, { subject: 'never' })
  return found !== undefined
}

/** Of its alternative names, as they are written in settings. */
export function namesOf({ subjectAltName = '' }: X509Certificate): string[] {
  return [...subjectAltName.matchAll(/(?:DNS|IP Address):([^\s,]+)/g)].map(([, name = '']) => name)
}

function namesIn(certificate: X509Certificate): string {
  return namesOf(certificate).join(', ') || 'no name at all (clients do not read its subject)'
}
