import type { ProxySettings } from '../upstream/registry-client.ts'
import { printedAs } from './config.ts'
import { type Environment, given } from './reader.ts'

const aProxy = 'the address of a proxy such as http://proxy.corp:3128'

/** The spelling in small letters wins, as everywhere. What was found is not told: it may hold a password. */
export function readProxies(env: Environment, problems: string[]): Readonly<ProxySettings> {
  const one = (name: string) => [name.toLowerCase(), name].find((each) => env[each])
  const proxy = (name: string) => {
    const spelled = one(name)
    try {
      return spelled && parseProxy(env[spelled] ?? '')
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error
      problems.push(`${spelled}: expected ${error.message}, found something else`)
      return undefined
    }
  }
  const noProxy = env[one('NO_PROXY') ?? '']
  return createProxySettings({
    ...given('httpProxy', proxy('HTTP_PROXY')),
    ...given('httpsProxy', proxy('HTTPS_PROXY')),
    ...given('noProxy', noProxy),
  })
}

/** Without a scheme it is http, as curl has it. @throws SyntaxError */
function parseProxy(text: string): string {
  const url = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`
  if (!URL.canParse(url)) throw new SyntaxError(aProxy)
  const { protocol, hostname, pathname, search, hash, href } = new URL(url)
  const isPlain = (protocol === 'http:' || protocol === 'https:') && pathname === '/' && !search && !hash
  if (!isPlain || hostname === '') throw new SyntaxError(aProxy)
  return href
}

/** Proxies are asked with the user name and password of their address: these are not printed. */
function createProxySettings(settings: ProxySettings): Readonly<ProxySettings> {
  const { httpProxy, httpsProxy } = settings
  const shown = {
    ...settings,
    ...(httpProxy !== undefined && { httpProxy: withoutPassword(httpProxy) }),
    ...(httpsProxy !== undefined && { httpsProxy: withoutPassword(httpsProxy) }),
  }
  return Object.freeze(printedAs({ ...settings }, shown))
}

function withoutPassword(text: string): string {
  const { protocol, username, password, host } = new URL(text)
  return `${protocol}//${username || password ? '…@' : ''}${host}`
}
