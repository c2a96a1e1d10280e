import type { Socket } from 'node:net'

/**
 * Who is at the other end, for limits: an address, or the /64 that one household or machine may choose its IPv6 addresses
 * from (RFC 6177). A link-local address is a machine's own.
 */
export function callerOf({ remoteAddress = '' }: Pick<Socket, 'remoteAddress'>): string {
  const address = remoteAddress.replace(/^::ffff:(?=\d+\.)/i, '')
  if (!address.includes(':') || /^fe[89ab]/i.test(address)) return address
  const [head = '', tail] = address.split('::')
  const groups = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = Array.from({ length: Math.max(0, 8 - groups.length - after.length) }, () => '0')
  return `${[...groups, ...zeros, ...after].slice(0, 4).join(':')}::/64`
}
