import type { Authorities } from '../clients/client.ts'
import type { Machine } from '../machine.ts'

export const engineFolder = '/etc/docker/certs.d'
export const containersFolder = '/etc/containers/certs.d'

/** docker: `/etc/docker/certs.d/HOST:PORT/*.crt`. */
export function engineAuthorities(machine: Machine, door: URL): Promise<Authorities> {
  return fromFolders(machine, door, [engineFolder])
}

/** containers-certs.d(5): podman and its kin read docker's folder, too. */
export function containersAuthorities(machine: Machine, door: URL): Promise<Authorities> {
  return fromFolders(machine, door, [containersFolder, engineFolder])
}

async function fromFolders(machine: Machine, door: URL, folders: readonly string[]): Promise<Authorities> {
  const found: Authorities = { pems: [], misplaced: [] }
  for (const folder of folders) {
    for (const name of await machine.list(folder)) {
      const files = (await machine.list(`${folder}/${name}`)).map((file) => ({ name, file, folder }))
      for (const each of files) {
        const read = await machine.read(`${folder}/${name}/${each.file}`)
        if (read.kind !== 'text' || !read.text.includes('-----BEGIN CERTIFICATE-----')) continue
        const wrong = misplacement(door, name, each.file)
        if (wrong === undefined) found.pems.push(read.text)
        else if (wrong !== '') found.misplaced.push(`${read.path} (${wrong})`)
      }
    }
  }
  return found
}

/** Why a certificate is not read there; `''` where it is none of this door's. */
export function misplacement({ host, hostname }: URL, folder: string, file: string): string | undefined {
  if (folder !== host) {
    const isMeant = folder.split(':')[0]?.toLowerCase() === hostname || folder === '_default'
    return isMeant ? `the folder must be called ${host}` : ''
  }
  if (file.endsWith('.crt')) return undefined
  return `the name of an authority must end in .crt`
}
