import { posix } from 'node:path'
import type { Authorities } from '../clients/client.ts'
import type { Machine } from '../machine.ts'
import { hostsFolder, readContainerd } from './containerd-config.ts'
import { hostsIn } from './hosts-toml.ts'
import { at } from './toml.ts'

/** What `ca` of the hosts.toml names that lead to this door. */
export async function hostsAuthorities(machine: Machine, door: URL): Promise<Authorities> {
  const { settings } = await readContainerd(machine)
  const found: Authorities = { pems: [], misplaced: [] }
  for (const folder of new Set([hostsFolder, ...settings.configPath])) {
    for (const name of await machine.list(folder)) {
      const read = await machine.read(`${folder}/${name}/hosts.toml`)
      const hosts = read.kind === 'text' ? hostsIn(read.text) : []
      const files = Array.isArray(hosts) ? hosts.filter(({ url }) => url.host === door.host) : []
      for (const file of files.flatMap(({ ca }) => ca))
        await take(machine, posix.resolve(`${folder}/${name}`, file), read.path, found)
    }
  }
  return found
}

/** containerd 1.x: those, or `registry.configs` of config.toml. */
export async function configAuthorities(machine: Machine, door: URL): Promise<Authorities> {
  const found = await hostsAuthorities(machine, door)
  const { settings } = await readContainerd(machine)
  const file = at(settings.configs, door.host, 'tls', 'ca_file')
  if (typeof file === 'string') await take(machine, file, 'config.toml', found)
  return found
}

/** Adds what stands in `file`, or that it is not there. @param named where that file is named */
export async function take(machine: Machine, file: string, named: string, found: Authorities): Promise<void> {
  const read = await machine.read(file)
  if (read.kind === 'text') found.pems.push(read.text)
  else
    found.misplaced.push(
      `${file}, which ${named} names, ${read.kind === 'absent' ? 'is not there' : read.reason}`,
    )
}
