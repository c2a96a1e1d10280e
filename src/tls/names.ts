import type { X509Certificate } from 'node:crypto'
import { isIP, isIPv6 } from 'node:net'
import type { NetworkInterfaceInfo } from 'node:os'
import { domainToASCII } from 'node:url'

const label = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/
const expected = 'a host name such as edge.example or *.edge.example, or an IP address, without a port'

/** A name for a certificate, as it stands there: host names in ASCII and small letters. @throws SyntaxError */
export function parseName(text: string): string {
  if (isIP(text) && !text.includes('%')) return isIPv6(text) ? withoutZeros(text) : text
  const [, wildcard = '', host = ''] = /^(\*\.)?([^*/:@\s]+)$/.exec(text) ?? []
  const ascii = domainToASCII(host)
  const labels = ascii.split('.')
  const looksNumeric = /^\d+$/.test(labels.at(-1) ?? '')
  if (ascii.length > 253 || looksNumeric || !labels.every((each) => label.test(each)))
    throw new SyntaxError(`expected ${expected}, found ${JSON.stringify(text.slice(0, 300))}`)
  return wildcard + ascii
}

/** What this machine is called by, as far as it knows. */
export function namesOfMachine(
  hostname: string,
  interfaces: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>,
): string[] {
  // Addresses of one link only have a zone, and certificates have none.
  const addresses = Object.values(interfaces)
    .flatMap((each) => each ?? [])
    .filter(({ internal, address }) => !internal && !/^fe[89ab]/i.test(address))
    .map(({ address }) => address)
  return [...new Set([...ownName(hostname), 'localhost', '127.0.0.1', '::1', ...addresses.map(parseName)])]
}

/** Nothing, where a machine is called by what is no host name. */
function ownName(hostname: string): string[] {
  try {
    return [parseName(hostname)]
  } catch {
    return []
  }
}

/** Host names and addresses, as its subjectAltName lists them. */
export function namesIn({ subjectAltName = '' }: Pick<X509Certificate, 'subjectAltName'>): string[] {
  // Node quotes a value that could be taken for several, as JSON does.
  const all = subjectAltName.matchAll(/(?:^|, )([^:"]+):("(?:[^"\\]|\\.)*"|[^,]*)/g)
  return [...all].flatMap(([, kind, value = '']) => {
    if (kind !== 'DNS' && kind !== 'IP Address') return []
    const name = value.startsWith('"') ? String(JSON.parse(value)) : value
    return [isIPv6(name) ? withoutZeros(name) : name]
  })
}

/** As RFC 5952 writes it. */
function withoutZeros(address: string): string {
  return new URL(`http://[${address}]`).hostname.slice(1, -1)
}
