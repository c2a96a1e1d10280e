import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { toolPath } from '../../support/tools.ts'
import type { Client } from './client.ts'
import { digestsIn } from './client.ts'
import type { Machine } from './machine.ts'

/** podman, as /etc/containers/registries.conf of the machine says. */
export function podmanOn(machine: Machine): Client {
  const at = (name: string) => join(machine.directory, name)
  const settings = ['--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs']
  const podman = (...parameters: string[]) =>
    machine.run(toolPath('podman'), [
      '--root',
      at('pod'),
      '--runroot',
      at('podrun'),
      ...settings,
      ...parameters,
    ])
  return {
    async pull(image) {
      await podman('pull', image)
      return digestsIn(await podman('image', 'inspect', '--format', '{{.RepoDigests}}', image))
    },
  }
}

/** skopeo copies every platform into an OCI layout. */
export function skopeoOn(machine: Machine): Client {
  let copies = 0
  return {
    async pull(image) {
      const layout = join(machine.directory, `skopeo-${copies++}`)
      const settings = ['--registries-conf', '/etc/containers/registries.conf', '--insecure-policy']
      await machine.run(toolPath('skopeo'), [
        ...settings,
        ...['copy', '--all', '--preserve-digests', `docker://${image}`, `oci:${layout}:copy`],
      ])
      return digestsIn(await readFile(join(layout, 'index.json'), 'utf8'))
    },
  }
}

/** crane knows no mirrors: it asks the edge by the path form of the name. */
export function craneOn(machine: Machine, edge: string): Client {
  let copies = 0
  return {
    async pull(image) {
      const layout = join(machine.directory, `crane-${copies++}`)
      await machine.run(toolPath('crane'), [
        'pull',
        '--insecure',
        '--format',
        'oci',
        `${edge}/${image}`,
        layout,
      ])
      return digestsIn(await readFile(join(layout, 'index.json'), 'utf8'))
    },
  }
}
