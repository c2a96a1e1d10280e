import { nearest } from '../policy/nearest.ts'
import { forTests, notServedYet, settings } from './settings.ts'

const known = new Set<string>([...settings.map(({ name }) => name), ...forTests])

/** Kubernetes gives each pod such variables for every Service of its namespace, and one of them may be named outport. */
const serviceLink =
  /^OUTPORT_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?)$/
const servicePort = /^(?:tcp|udp|sctp):\/\//

/** What is wrong with the names that begin with OUTPORT_; nobody should believe in a setting that nothing reads. */
export function checkNames(env: Readonly<Record<string, string | undefined>>): string[] {
  return Object.entries(env).flatMap(([name, value]) => {
    if (!name.startsWith('OUTPORT_') || !value || known.has(name) || isServiceLink(name, value)) return []
    if (notServedYet.includes(name)) return [`${name}: this version does not serve that yet; unset it`]
    const close = nearest(name, known)
    if (close !== undefined) return [`${name}: there is no such setting; did you mean ${close}?`]
    return [
      `${name}: there is no such setting; a secret for policies needs a name that does not begin with OUTPORT_`,
    ]
  })
}

function isServiceLink(name: string, value: string): boolean {
  return serviceLink.test(name) || (name.endsWith('_PORT') && servicePort.test(value))
}
