import { isIP, isIPv6 } from 'node:net'

const label = '[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?'
const nameGrammar = new RegExp(`^${label}(?:\\.${label})*$`)

export const aHost = 'a host name such as registry.corp'
export const aHostAndPort = 'a host such as registry.corp or registry.corp:5000'

/** In lower case. @throws SyntaxError */
export function parseHostName(text: string): string {
  const host = text.toLowerCase()
  if (host.length > 253 || !(nameGrammar.test(host) || isIP(host))) throw new SyntaxError(aHost)
  return host
}

/** `host` or `host:port`, in lower case; IPv6 in brackets. @throws SyntaxError */
export function parseHostAndPort(text: string): string {
  const [, v6, name, port] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text.toLowerCase()) ?? []
  const host = v6 === undefined ? isName(name) : isIPv6(v6)
  if (!host || (port !== undefined && !isPort(Number(port)))) throw new SyntaxError(aHostAndPort)
  return text.toLowerCase()
}

function isName(name: string | undefined): boolean {
  return name !== undefined && name.length <= 253 && (nameGrammar.test(name) || isIP(name) !== 0)
}

function isPort(port: number): boolean {
  return port > 0 && port <= 65535
}
