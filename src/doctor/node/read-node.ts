import { join } from 'node:path'
import { commandsAt, isListening } from '../../admin/client.ts'
import { socketName } from '../../admin/socket.ts'
import type { Config } from '../../config/config.ts'
import type { Site } from '../../projects/project.ts'
import { type NodeAddress, nodeAddressOf, type OpenDoor } from '../settings/node-address.ts'
import { readNodeCertificates } from './certificates.ts'
import { doorsOf } from './doors.ts'

/** How clients reach the node on this data, or the one that would run there. @throws AdminError */
export async function readNode(config: Config, site: Site, hostname: string): Promise<NodeAddress> {
  const { first: certificate, authority } = await readNodeCertificates(config)
  const doors = await openDoors(config)
  return nodeAddressOf({ config, site, doors, hostname, certificate, authority })
}

async function openDoors(config: Config): Promise<OpenDoor[]> {
  const socket = join(config.data, socketName)
  if (!(await isListening(socket))) return doorsOf(config)
  for await (const { doors } of commandsAt(socket).status({}, AbortSignal.timeout(15_000))) return doors
  return doorsOf(config)
}
