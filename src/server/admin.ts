import { join } from 'node:path'
import { pid } from 'node:process'
import { type Commands, createCommands } from '../admin/commands.ts'
import { openAdminSocket, socketName } from '../admin/socket.ts'
import type { Config } from '../config/config.ts'
import type { Troubles } from '../flow/troubles.ts'
import type { Certificates } from '../http/certificates.ts'
import type { OpenDoor } from '../http/listen.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Heal } from '../resolve/heal.ts'
import type { Parts } from './handlers.ts'

export interface NodeCommandsOptions {
  version: string
  parts: Parts
  heal: Heal
  doors: readonly OpenDoor[]
  certificates: Certificates
  troubles: Pick<Troubles, 'all'>
}

export function createNodeCommands(options: NodeCommandsOptions): Commands {
  const { version, parts, heal, doors, certificates, troubles } = options
  const { stores, site } = parts
  const { metadata, blobs, holds } = stores
  const startedAt = new Date().toISOString()
  return createCommands({
    ...{ metadata, stored: metadata.stored, blobs, holds, heal, certificates },
    status() {
      const { budget } = site().cache
      return {
        ...{ version, pid, startedAt },
        doors: doors.map(({ url }) => url),
        degraded: troubles.all(),
        ...(budget !== undefined && { budgetBytes: budget }),
      }
    },
  })
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
