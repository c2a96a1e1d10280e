import { join } from 'node:path'
import { pid } from 'node:process'
import { type Commands, createCommands } from '../admin/commands.ts'
import type { KnownDoor } from '../admin/names.ts'
import { openAdminSocket, socketName } from '../admin/socket.ts'
import type { Config } from '../config/config.ts'
import type { Troubles } from '../flow/troubles.ts'
import type { Certificates } from '../http/certificates.ts'
import type { OpenDoor } from '../http/listen.ts'
import type { Gc } from '../jobs/gc.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Importer, ImportOptions } from '../transfer/import.ts'
import type { Handlers, Parts } from './handlers.ts'

export interface NodeCommandsOptions {
  version: string
  parts: Parts
  handlers: Pick<Handlers, 'heal' | 'images' | 'local' | 'resolved'>
  doors: readonly OpenDoor[]
  certificates: Certificates
  troubles: Pick<Troubles, 'all'>
  gc: Pick<Gc, 'run'>
  /** The default mirror's project. */
  mirror: string
}

export function createNodeCommands(options: NodeCommandsOptions): Commands {
  const { version, parts, handlers, doors, certificates, troubles, gc, mirror } = options
  const { heal, images, local, resolved } = handlers
  const { stores, clients, site } = parts
  const { metadata, blobs, holds, pins, space, usage } = stores
  const startedAt = new Date().toISOString()
  const named = { site, mirror }
  return createCommands({
    ...{ metadata, certificates, gc: gc.run },
    fsck: { stored: metadata.stored, blobs, holds, heal },
    pull: { ...named, images, resolved, usage },
    evict: { metadata, space, usage, pins: () => [...site().cache.pins, ...pins.patterns()] },
    pins: { ...named, pins, space },
    explain: { ...named, doors: () => doorsToExplain(doors), clients, metadata, usage, pins },
    import: importOnce({ ...stores, room: space, site }),
    async *parts(request, signal) {
      const { partsOf } = await import('../transfer/export-parts.ts')
      yield* partsOf({ ...named, metadata, local, usage }, request, signal)
    },
    status() {
      const { budget } = site().cache
      return {
        ...{ version, pid, startedAt },
        doors: doors.map(({ face, url }) => ({ face, url })),
        degraded: troubles.all(),
        ...(budget !== undefined && { budgetBytes: budget }),
      }
    },
  })
}

/** What it needs is loaded when it is asked for. */
function importOnce(options: ImportOptions): Importer {
  let importer: Importer | undefined
  return async function* (request, signal) {
    const { createImporter } = await import('../transfer/import.ts')
    importer ??= createImporter(options)
    yield* importer(request, signal)
  }
}

/** A site has a registry door, whether it is open now or not. */
function doorsToExplain(doors: readonly OpenDoor[]): KnownDoor[] {
  const known = doors.flatMap(({ face, url }) => (face === 'metrics' ? [] : [{ face, url }]))
  return known.length > 0 ? known : [{ face: 'registry' }]
}

/** Without it the node serves as well: a folder may be on a file system without sockets, or its name too long for one. */
export async function openAdmin(
  { config, log: all, metrics }: { config: Config; log: Logger; metrics: Pick<Metrics, 'commands'> },
  commands: Commands,
): Promise<AsyncDisposable> {
  const log = all.part('admin')
  try {
    return await openAdminSocket(join(config.data, socketName), commands, (command) => {
      metrics.commands.inc({ command })
      log.debug({ command }, 'asked')
    })
  } catch (err) {
    log.warn({ err }, 'commands cannot reach this node')
    return { [Symbol.asyncDispose]: async () => {} }
  }
}
