import type { Code, Mistake } from '../findings.ts'
import type { Limits } from '../wire/exchange.ts'
import type { FailureKind, WireFailure } from '../wire/failure.ts'

const codes = {
  unresolved: 'name-unresolved',
  refused: 'connection-refused',
  unreachable: 'host-unreachable',
  'connect-timeout': 'connection-timeout',
  'answer-timeout': 'answer-timeout',
  closed: 'connection-closed',
  'not-tls': 'not-http',
  'not-http': 'not-http',
  untrusted: 'certificate-authority',
} as const satisfies Record<FailureKind, Code>

/** What it means that a request to `url` had no answer. */
export function connectionMistake(url: URL, { kind, message }: WireFailure, limits: Limits): Mistake {
  return { code: codes[kind], ...wordsOf(url, kind, message, limits) }
}

/** A door was asked in the other scheme than its own. */
export function wrongScheme({ protocol, host }: URL): Mistake {
  if (protocol === 'https:')
    return {
      code: 'https-to-http-door',
      what: `${host} speaks plain http and is asked with https`,
      advice: `write http://${host} into the client's settings, or give that door a certificate`,
    }
  return {
    code: 'http-to-https-door',
    what: `${host} speaks https and is asked with plain http`,
    advice: `write https://${host} into the client's settings, without insecure`,
  }
}

function wordsOf(
  { host, hostname, port, protocol }: URL,
  kind: FailureKind,
  message: string,
  { connectMs, answerMs }: Limits,
): Omit<Mistake, 'code'> {
  const behind = `TCP port ${port || (protocol === 'https:' ? 443 : 80)}`
  switch (kind) {
    case 'unresolved':
      return {
        what: `the name ${hostname} does not resolve on this machine`,
        advice: 'give it an address in DNS, or in /etc/hosts of every client',
      }
    case 'refused':
      return {
        what: `nobody listens at ${host}`,
        advice:
          'start the node there, or name a port it listens on: `outport status` shows its doors, and one on 127.0.0.1 or localhost is for its own machine',
      }
    case 'unreachable':
      return { what: `no way leads to ${host}: ${message}`, advice: 'look at the routes of this machine' }
    case 'connect-timeout':
      return {
        what: `nothing comes back from ${host} within ${connectMs / 1000} s`,
        advice: `a firewall swallows what is sent, or the address is no longer that machine's: let ${behind} through`,
      }
    case 'answer-timeout':
      return {
        what: `${host} takes the connection, and says nothing for ${answerMs / 1000} s`,
        advice: 'the node hangs, or something before it does: look at its log, and at proxies on the way',
      }
    case 'closed':
      return {
        what: `${host} closes the connection without an answer`,
        advice: `what listens there is no registry, or something on the way cuts connections to ${behind}`,
      }
    case 'not-tls':
    case 'not-http':
      return {
        what: `what listens at ${host} does not speak ${protocol.replace(':', '')}: ${message}`,
        advice: 'name the port of a door: `outport status` shows them',
      }
    case 'untrusted':
      return { what: `the certificate of ${host} is not trusted: ${message}`, advice: 'trust its authority' }
    default:
      return kind satisfies never
  }
}
