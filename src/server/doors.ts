import { createGetCertPage } from '../admin/systeminfo.ts'
import type { Config } from '../config/config.ts'
import type { Listener } from '../config/listeners.ts'
import type { Troubles } from '../flow/troubles.ts'
import type { Via } from '../flow/via.ts'
import { createHttpApp, type HttpApp } from '../http/app.ts'
import type { Certificates } from '../http/certificates.ts'
import type { Door, OpenDoor } from '../http/listen.ts'
import { createRedirect } from '../http/redirect.ts'
import { RegistryError } from '../oci/error.ts'
import { onlyMirrors } from '../projects/project.ts'
import { createPages } from '../registry/pages.ts'
import { createRegistryRoutes, type RegistryHandlers } from '../registry/routes.ts'
import { createKeySetPage, createTokenPage } from '../registry/token.ts'
import type { Access } from './access.ts'
import type { Parts } from './handlers.ts'

/** What answers at the doors. */
export interface Apps {
  doors: HttpApp
  /** Of doors whose visitors are to come over https. */
  redirect: HttpApp
  metrics: HttpApp
}

export interface AppsOptions {
  config: Config
  via: Via
  parts: Parts
  access: Access
  handlers: RegistryHandlers
  certificates: Certificates
  troubles: Pick<Troubles, 'all'>
  isDraining(): boolean
  /** Those that are open. */
  doors(): readonly OpenDoor[]
}

export function createApps(options: AppsOptions): Apps {
  const { config, via, handlers, certificates, doors } = options
  const { accounts, callers, tokens } = options.access
  const { log, metrics, site } = options.parts
  const names = { site, mirror: config.mirror.name, service: config.site }
  const http = {
    ...{ log: log.part('request'), metrics },
    access: { oneIn: config.accessLog.oneIn, slowMs: config.slowMs },
  }
  const registry = createRegistryRoutes({ ...names, via, publicUrl: config.publicUrl, callers, handlers })
  const own = createOwnPages(options)
  const plain = {
    ...own,
    '/api/v2.0/systeminfo/getcert': createGetCertPage(certificates.authority),
  }
  const pages = {
    ...plain,
    '/service/token': createTokenPage({ ...names, callers, accounts, tokens }),
    '/.well-known/jwks.json': createKeySetPage(tokens),
  }
  const redirect = createRedirect({
    portOf: (face) => doors().find((door) => door.scheme === 'https' && door.face === face)?.port,
    covers: certificates.cover,
  })
  return {
    doors: createHttpApp({ ...http, registry, pages, forms: ['/service/token'] }),
    redirect: createHttpApp({ ...http, registry: redirect, pages: plain, otherwise: redirect }),
    metrics: createHttpApp({ ...http, registry: noRegistry, pages: own }),
  }
}

function createOwnPages({
  config,
  parts,
  troubles,
  isDraining,
}: AppsOptions): ReturnType<typeof createPages> {
  const { metrics, site } = parts
  return createPages({
    metrics,
    notReady: () => (isDraining() ? 'the node is stopping' : undefined),
    degraded: () => troubles.all(),
    metricsReaders: () => {
      if (config.metricsListen) return 'nobody'
      return onlyMirrors(site()) ? 'everybody' : 'this machine'
    },
  })
}

export function doorsOf(
  { listen, mirrorListen, metricsListen = [], tlsRedirect }: Config,
  apps: Apps,
): Door[] {
  const mirrors = mirrorListen === 'off' ? [] : (mirrorListen ?? [])
  const appOf = ({ scheme }: Listener, list: readonly Listener[]) => {
    const isRedirected = tlsRedirect && scheme === 'http' && list.some((other) => other.scheme === 'https')
    return isRedirected ? apps.redirect : apps.doors
  }
  return [
    ...listen.map((each): Door => ({ ...each, face: 'registry', app: appOf(each, listen) })),
    ...mirrors.map((each): Door => ({ ...each, face: 'mirror', app: appOf(each, mirrors) })),
    ...metricsListen.map((listener): Door => ({ ...listener, face: 'metrics', app: apps.metrics })),
  ]
}

function noRegistry(): never {
  throw new RegistryError('NOT_FOUND')
}
