import { isIPv4, isIPv6 } from 'node:net'

/** A door: where it is, and whether it speaks TLS. */
export interface Listener {
  scheme: 'http' | 'https'
  /** `undefined`: all addresses, IPv6 and IPv4. */
  host?: string
  /** 0: one that is free. */
  port: number
}

const aListener = '[http://|https://]host:port, such as :5000 or https://127.0.0.1:5443'

const grammar = /^(?:(https?):\/\/)?(?:\[([^\]]*)\]|([^:/[\]]*)):(\d{1,5})$/i
const hostGrammar = /^[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?$/i

/** A list with commas. @throws SyntaxError whose message is what was expected */
export function parseListeners(text: string): Listener[] {
  return text.split(',').map((each) => parseListener(each.trim()))
}

/** Both would ask the system for the same port. */
export function collide(left: Listener, right: Listener): boolean {
  if (left.port !== right.port || left.port === 0) return false
  return isEverywhere(left) || isEverywhere(right) || left.host === right.host
}

function isEverywhere({ host }: Listener): boolean {
  return host === undefined || host === '::' || host === '0.0.0.0'
}

/** As it is written in a setting. */
export function formatListener({ scheme, host = '', port }: Listener): string {
  return `${scheme}://${isIPv6(host) ? `[${host}]` : host}:${port}`
}

function parseListener(text: string): Listener {
  const [, scheme = 'http', v6, name = '', port] = grammar.exec(text) ?? []
  if (port === undefined || Number(port) > 65535) throw new SyntaxError(aListener)
  const host = v6 ?? name
  if (v6 === undefined ? !isHost(host) : !isIPv6(host)) throw new SyntaxError(aListener)
  return Object.freeze({
    scheme: scheme.toLowerCase() === 'https' ? 'https' : 'http',
    ...(host !== '' && { host: host.toLowerCase() }),
    port: Number(port),
  })
}

function isHost(name: string): boolean {
  const looksNumeric = /^[\d.]+$/.test(name)
  return name === '' || (looksNumeric ? isIPv4(name) : hostGrammar.test(name))
}
