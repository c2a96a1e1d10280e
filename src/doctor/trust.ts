import { createSecureContext, type SecureContext } from 'node:tls'
import type { Machine } from './machine.ts'

/** Where Go's crypto/x509 looks for the system's authorities on Linux. */
const systemFiles = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/tls/cacert.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
]

/** The authorities that every program of the machine trusts, PEM. */
export async function systemAuthorities(machine: Machine): Promise<string[]> {
  for (const file of systemFiles) {
    const read = await machine.read(file)
    if (read.kind === 'text') return [read.text]
  }
  return []
}

/** What cannot be read as a certificate is passed over, as clients do. */
export function trustOf(pems: readonly string[]): SecureContext {
  return createSecureContext({ ca: pems.filter(isUsable) })
}

function isUsable(pem: string): boolean {
  try {
    createSecureContext({ ca: pem })
    return true
  } catch {
    return false
  }
}
