export const aRegistryUrl = 'an address such as https://registry.corp'

/**
 * Origin and path prefix of a registry, without a slash at the end. A user name or token does not belong in it: it
 * would be logged with it.
 * @throws SyntaxError
 */
export function parseRegistryUrl(text: string): string {
  if (!/^https?:\/\/[^/]/i.test(text) || /[\s\\]/.test(text) || !URL.canParse(text))
    throw new SyntaxError(aRegistryUrl)
  const url = new URL(text)
  if (url.username || url.password || text.includes('@')) {
    throw new SyntaxError(`${aRegistryUrl}, with user name and password under credential`)
  }
  if (text.includes('?') || text.includes('#'))
    throw new SyntaxError(`${aRegistryUrl}, without query and fragment`)
  return url.origin + url.pathname.replace(/\/+$/, '')
}
