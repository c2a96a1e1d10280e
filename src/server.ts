import { randomBytes } from 'node:crypto'
import type { Commands } from './admin/commands.ts'
import type { Config } from './config/config.ts'
import { createVia } from './flow/via.ts'
import { closeDoors, type OpenDoor, openDoors } from './http/listen.ts'
import type { Logger } from './log.ts'
import { createMetrics } from './metrics.ts'
import type { Site } from './projects/project.ts'
import { createNodeCommands, openAdmin } from './server/admin.ts'
import { openCertificates } from './server/certificates.ts'
import { openClients } from './server/clients.ts'
import { createApps, doorsOf } from './server/doors.ts'
import { createHandlers, type Parts } from './server/handlers.ts'
import { openRenewal } from './server/renewal.ts'
import { openFills, openScrub, openStores } from './server/stores.ts'

export interface ServerOptions {
  config: Config
  log: Logger
  version: string
  /** What the site is told to do at first. */
  site: Site
}

/** A node at work. Disposing it cuts what is still under way; {@link Server.drain} first lets it finish. */
export interface Server extends AsyncDisposable {
  readonly doors: readonly OpenDoor[]
  readonly commands: Commands
  /** From now on the site is this one. */
  follow(site: Site): void
  /** Reads the certificates again. @throws naming the file; what was served before goes on */
  reloadCertificates(): Promise<void>
  /** Takes no more requests and settles when those under way are through, or when `signal` ends them. */
  drain(signal: AbortSignal): Promise<void>
}

/** Joins the parts. @throws in one line what of the environment does not allow it to run */
export async function createServer(options: ServerOptions): Promise<Server> {
  const { config, log, version, site } = options
  await using owned = new AsyncDisposableStack()
  const state = { site, draining: false, doors: [] as readonly OpenDoor[] }
  const metrics = createMetrics()
  const shared = { config, log, metrics }
  const stores = await openStores(shared, site.cache, owned)
  const certificates = await openCertificates(config, log, owned)
  owned.use(openRenewal({ config, certificates, log }))

  const via = createVia(`outport-${randomBytes(6).toString('hex')}`)
  const clients = owned.use(openClients({ proxy: config.proxy, version, via, log, metrics }))
  const fills = openFills(shared, stores, site.cache.fills, owned)
  // Before the fills end, which may wait for room.
  owned.defer(() => stores.space.stop())
  const parts: Parts = { log, metrics, stores, clients, fills, site: () => state.site }
  followSite(parts, site)

  const { registry, heal } = createHandlers(parts, owned)
  const scrub = owned.use(openScrub(shared, stores, heal, site.cache))
  const follow = (next: Site) => {
    followSite(parts, next)
    scrub.follow(next.cache.scrub)
    state.site = next
  }
  const apps = createApps({
    ...{ config, via, parts, certificates, handlers: registry },
    isDraining: () => state.draining,
    doors: () => state.doors,
  })
  const doors = await openDoors(doorsOf(config, apps), certificates)
  state.doors = doors
  owned.defer(() => closeDoors(doors, AbortSignal.abort()))
  const commands = createNodeCommands({ version, parts, heal, doors, certificates })
  owned.use(await openAdmin(shared, commands))

  const held = owned.move()
  return {
    doors,
    commands,
    follow,
    reloadCertificates: certificates.reload,
    async drain(signal) {
      state.draining = true
      await closeDoors(doors, signal)
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

function followSite({ stores, clients, fills, metrics }: Parts, { cache, registries }: Site): void {
  fills.limit(cache.fills)
  stores.space.follow(cache)
  clients.follow(registries.values())
  metrics.followRegistries(
    clients
      .all()
      .map(({ settings, isDown, limits, bandwidth }) => ({ ...settings, isDown, limits, bandwidth })),
  )
}
