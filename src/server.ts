import { randomBytes } from 'node:crypto'
import type { Commands } from './admin/commands.ts'
import type { Config } from './config/config.ts'
import { createClock } from './flow/clock.ts'
import { createVia } from './flow/via.ts'
import { closeDoors, type OpenDoor, openDoors } from './http/listen.ts'
import type { Logger } from './log.ts'
import { createMetrics } from './metrics.ts'
import type { Site } from './projects/project.ts'
import { openAccess } from './server/access.ts'
import { createNodeCommands, openAdmin } from './server/admin.ts'
import { openCertificates } from './server/certificates.ts'
import { openClients } from './server/clients.ts'
import { createApps, doorsOf } from './server/doors.ts'
import { createHandlers, type Parts } from './server/handlers.ts'
import { showNode } from './server/observed.ts'
import { openRenewal } from './server/renewal.ts'
import { openFills, openGc, openScrub, openStores } from './server/stores.ts'
import { openTroubles, type Takeover } from './server/troubles.ts'

export interface ServerOptions {
  config: Config
  log: Logger
  version: string
  /** What the site is told to do at first. */
  site: Site
  /** Hears the password that was made for an account; without it none is made. */
  onPassword?(name: string, password: string): void
}

/** A node at work. Disposing it cuts what is still under way; {@link Server.drain} first lets it finish. */
export interface Server extends AsyncDisposable {
  readonly doors: readonly OpenDoor[]
  readonly commands: Commands
  /** From now on the site is this one. */
  follow(site: Site): void
  /** The folder of policies is wrong now, in so many places; what was followed before goes on. */
  rejected(problems: number): void
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
  const isDraining = () => state.draining
  let policies: Takeover = { at: Date.now() }
  const metrics = createMetrics()
  const shared = { config, log, metrics }
  const stores = await openStores(shared, site.cache, owned)
  const access = await openAccess({ config, log, keys: stores.keys, onPassword: options.onPassword }, owned)
  await access.follow(site)
  const certificates = await openCertificates(config, log, owned)
  owned.use(openRenewal({ config, certificates, log }))

  const via = createVia(`outport-${randomBytes(6).toString('hex')}`)
  const clock = createClock()
  const clients = owned.use(openClients({ proxy: config.proxy, version, via, log, metrics, clock }))
  const fills = openFills(shared, stores, site.cache.fills, owned)
  // Before the fills end, which may wait for room.
  owned.defer(() => stores.space.stop())
  const parts: Parts = { log, metrics, stores, clients, fills, site: () => state.site }
  followSite(parts, site)

  const handlers = createHandlers(parts, owned)
  const { buffers } = handlers
  const gc = owned.use(openGc(shared, stores, () => state.site))
  const scrub = owned.use(openScrub(shared, stores, handlers.heal, site.cache))
  const follow = (next: Site) => {
    followSite(parts, next)
    scrub.follow(next.cache.scrub)
    state.site = next
    gc.follow(next.gc)
    policies = { at: Date.now() }
    access.follow(next).catch((err: unknown) => log.error({ err }, 'no administrator could be made'))
  }
  const shown = { parts, clock, certificates, policies: () => policies, gc }
  const troubles = owned.use(openTroubles(shown))
  showNode({ ...shown, version, troubles, buffers, isDraining })
  const apps = createApps({
    ...{ config, via, parts, access, certificates, handlers: handlers.registry, troubles, isDraining },
    doors: () => state.doors,
  })
  const doors = await openDoors(doorsOf(config, apps), certificates)
  state.doors = doors
  owned.defer(() => closeDoors(doors, AbortSignal.abort()))
  const commands = createNodeCommands({
    ...{ version, parts, handlers, doors, certificates, troubles, gc },
    mirror: config.mirror.name,
  })
  owned.use(await openAdmin(shared, commands))

  const held = owned.move()
  return {
    doors,
    commands,
    follow,
    rejected(problems) {
      const places = problems === 1 ? 'one place' : `${problems} places`
      policies.failed = `the policies are wrong in ${places}; the last good ones go on`
    },
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
    clients.all().map(({ settings: { name, insecure }, isDown, isUnreachable, limits, bandwidth }) => ({
      ...{ name, insecure, isDown, isUnreachable, limits, bandwidth },
    })),
  )
}
