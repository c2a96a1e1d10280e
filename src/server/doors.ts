import { createTokens } from '../auth/tokens.ts'
import type { Config } from '../config/config.ts'
import type { Fills } from '../fill/fills.ts'
import type { Via } from '../flow/via.ts'
import { createHttpApp, type HttpApp } from '../http/app.ts'
import type { Door } from '../http/listen.ts'
import { RegistryError } from '../oci/error.ts'
import { onlyMirrors } from '../projects/project.ts'
import { createPages } from '../registry/pages.ts'
import { createRegistryRoutes, type RegistryHandlers } from '../registry/routes.ts'
import { createKeySetPage, createTokenPage } from '../registry/token.ts'
import type { RegistryClients } from '../resolve/clients.ts'
import type { Parts } from './handlers.ts'

/** What answers at the doors. */
export interface Apps {
  doors: HttpApp
  metrics: HttpApp
}

export interface AppsOptions {
  config: Config
  via: Via
  parts: Parts
  handlers: RegistryHandlers
  isDraining(): boolean
}

export function createApps(options: AppsOptions): Apps {
  const { config, via, handlers } = options
  const { log, metrics, site, stores } = options.parts
  const names = { site, mirror: config.mirror.name, service: config.site }
  const registry = createRegistryRoutes({ ...names, via, publicUrl: config.publicUrl, handlers })
  const tokens = createTokens(stores.tokenKey, config.site)
  const own = createOwnPages(options)
  const pages = {
    ...own,
    '/service/token': createTokenPage({ ...names, tokens }),
    '/.well-known/jwks.json': createKeySetPage(tokens),
  }
  return {
    doors: createHttpApp({ log, metrics, registry, pages }),
    metrics: createHttpApp({ log, metrics, registry: noRegistry, pages: own }),
  }
}

function createOwnPages({ config, parts, isDraining }: AppsOptions): ReturnType<typeof createPages> {
  const { metrics, clients, fills, site } = parts
  return createPages({
    metrics,
    notReady: () => (isDraining() ? 'the node is stopping' : undefined),
    degraded: () => troublesOf(clients, fills),
    metricsReaders: () => {
      if (config.metricsListen) return 'nobody'
      return onlyMirrors(site()) ? 'everybody' : 'this machine'
    },
  })
}

export function doorsOf({ listen, mirrorListen, metricsListen = [] }: Config, apps: Apps): Door[] {
  const mirrors = mirrorListen === 'off' ? [] : (mirrorListen ?? [])
  return [
    ...listen.map((listener): Door => ({ ...listener, face: 'registry', app: apps.doors })),
    ...mirrors.map((listener): Door => ({ ...listener, face: 'mirror', app: apps.doors })),
    ...metricsListen.map((listener): Door => ({ ...listener, face: 'metrics', app: apps.metrics })),
  ]
}

function noRegistry(): never {
  throw new RegistryError('NOT_FOUND')
}

/** What works less well than it should. */
export function troublesOf(clients: RegistryClients, fills: Fills): string[] {
  const down = clients.all().filter((client) => client.isDown())
  const ofDisk = fills.trouble()
  return [
    ...down.map(({ settings }) => `registry ${settings.name} does not answer`),
    ...(ofDisk === undefined ? [] : [ofDisk]),
  ]
}
