import type { LookupAddress } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { UpstreamError } from './registry-client.ts'

/**
 * What only this machine, its network or nobody can mean, in every way an IPv6 address can carry an IPv4 one
 * (compatible, mapped, NAT64, Teredo, 6to4): an upstream must not steer us there. Two lists, because one would match
 * every IPv4 address against `::ffff:0:0/96`.
 */
const forbidden = {
  ipv4: blockListOf('ipv4', [
    '0.0.0.0/8',
    '10.0.0.0/8',
    '100.64.0.0/10',
    '127.0.0.0/8',
    '169.254.0.0/16',
    '172.16.0.0/12',
    '192.0.0.0/24',
    '192.168.0.0/16',
    '198.18.0.0/15',
    '224.0.0.0/3',
  ]),
  ipv6: blockListOf('ipv6', [
    '::/96',
    '::ffff:0:0/96',
    '64:ff9b::/96',
    '64:ff9b:1::/48',
    '2001::/32',
    '2002::/16',
    'fc00::/7',
    'fe80::/10',
    'fec0::/10',
    'ff00::/8',
  ]),
}

function blockListOf(family: 'ipv4' | 'ipv6', subnets: readonly string[]): BlockList {
  const list = new BlockList()
  for (const subnet of subnets) {
    const [network = '', prefix] = subnet.split('/')
    list.addSubnet(network, Number(prefix), family)
  }
  return list
}

/** True for everything that is no public unicast address, and for what is no address at all. */
export function isForbiddenAddress(text: string): boolean {
  const address = text.replace(/^\[|\]$/g, '').split('%')[0] ?? ''
  switch (isIP(address)) {
    case 4:
      return forbidden.ipv4.check(address, 'ipv4')
    case 6:
      return forbidden.ipv6.check(address, 'ipv6')
    default:
      return true
  }
}

/** Says the same for a closed port, an open one and a name: the answer must not map our network. */
export function addressRefused(host: string): UpstreamError {
  return new UpstreamError('lying', `${host}: refused, its address is not allowed`)
}

/** Resolves names like `lookup`, without their forbidden addresses; fails when none is left. */
export function publicLookup(lookup: LookupFunction): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, found, family) => {
      if (error) return callback(error, '')
      const allowed = addressesOf(found, family).filter(({ address }) => !isForbiddenAddress(address))
      const [first] = allowed
      if (!first) return callback(addressRefused(hostname), '')
      if (options.all) return callback(null, allowed)
      callback(null, first.address, first.family)
    })
  }
}

/**
 * For connections that somebody else makes, as a proxy does: refuses a host that is, or also resolves to, a forbidden
 * address. A name that does not resolve here is left to the proxy, which may be the only one that knows names.
 */
export async function refusePrivateHost(hostname: string, lookup: LookupFunction): Promise<void> {
  const bare = hostname.replace(/^\[|\]$/g, '')
  if (isIP(bare) !== 0) {
    if (isForbiddenAddress(bare)) throw addressRefused(hostname)
    return
  }
  const found = await new Promise<LookupAddress[]>((resolve) => {
    lookup(bare, { all: true }, (error, addresses, family) =>
      resolve(error ? [] : addressesOf(addresses, family)),
    )
  })
  if (found.some(({ address }) => isForbiddenAddress(address))) throw addressRefused(hostname)
}

function addressesOf(found: string | LookupAddress[], family: number | undefined): LookupAddress[] {
  return typeof found === 'string' ? [{ address: found, family: family ?? isIP(found) }] : found
}
