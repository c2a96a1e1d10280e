import { type RegistrySettings, UpstreamError } from './registry-client.ts'

/** `host` or `host:port`; without a port the default one of the url's scheme is meant. */
export function isListed(entries: readonly string[], url: URL): boolean {
  return entries.some((entry) => URL.parse(`${url.protocol}//${entry}`)?.host === url.host)
}

/** With the port, so that only `https:` is meant. */
const builtIn: Partial<Record<RegistrySettings['type'], readonly string[]>> = {
  'docker-hub': ['auth.docker.io:443'],
}

/**
 * The token service a challenge names, if it may see the credential: the registry's exact origin, or a host the
 * operator listed. A shared registrable domain is no reason to trust (CVE-2026-33540 was first mended that way).
 * @throws UpstreamError `lying` that names the refused host.
 */
export function parseRealm(realm: string, registry: URL, settings: RegistrySettings): URL {
  const url = URL.parse(realm)
  if (!url) throw refused(registry, 'it is not an absolute URL')
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw refused(registry, `${url.protocol} ${url.host} is not asked`)
  }
  if (url.username !== '' || url.password !== '') throw refused(registry, `${url.host} is named with a login`)
  if (url.protocol === 'http:' && registry.protocol === 'https:') {
    throw refused(registry, `${url.host} is asked without TLS`)
  }
  const allowed = [...settings.tokenHosts, ...(builtIn[settings.type] ?? [])]
  if (url.origin !== registry.origin && !isListed(allowed, url)) {
    throw refused(registry, `${url.host} is not among its tokenHosts`)
  }
  url.hash = ''
  return url
}

function refused(registry: URL, reason: string): UpstreamError {
  return new UpstreamError('lying', `${registry.host}: token realm refused, ${reason}`)
}
