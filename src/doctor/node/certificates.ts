import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { getCACertificates } from 'node:tls'
import type { Config } from '../../config/config.ts'

/** What the https doors of this node show. */
export interface NodeCertificates {
  /** The first one; absent where there is none that can be read. */
  first?: X509Certificate
  /** PEM of the authority that clients have to be given; absent where everybody trusts it, or it is not here. */
  authority?: string
}

export async function readNodeCertificates({
  tls,
  data,
}: Pick<Config, 'tls' | 'data'>): Promise<NodeCertificates> {
  const chain = await certificatesIn(tls[0]?.cert ?? '')
  const [first] = chain
  if (!first) return {}
  const own = await Promise.all(['ca.crt', 'ca.pem'].map((name) => certificatesIn(join(data, 'tls', name))))
  const authority = privateAuthorityOf(chain, own.flat(), getCACertificates('default'))
  return { first, ...(authority && { authority: authority.toString() }) }
}

/** @param own the candidates beside the chain itself @param trusted PEM of what every client trusts */
export function privateAuthorityOf(
  chain: readonly X509Certificate[],
  own: readonly X509Certificate[],
  trusted: readonly string[],
): X509Certificate | undefined {
  const last = chain.at(-1)
  if (!last) return undefined
  const isIssuer = (each: X509Certificate) => last.checkIssued(each) && last.verify(each.publicKey)
  if (trusted.some((pem) => isIssuer(new X509Certificate(pem)))) return undefined
  return own.find(isIssuer) ?? (isIssuer(last) ? last : undefined)
}

const pem = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

async function certificatesIn(file: string): Promise<X509Certificate[]> {
  try {
    return ((await readFile(file, 'utf8')).match(pem) ?? []).map((text) => new X509Certificate(text))
  } catch {
    return []
  }
}
