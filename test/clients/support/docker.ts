import { join } from 'node:path'
import { paths, toolPath } from '../../support/tools.ts'
import { type Client, digestsIn } from './client.ts'
import type { CommandOptions } from './command.ts'
import type { Machine } from './machine.ts'

/** Runs the docker command against one daemon. */
export type Docker = (parameters: readonly string[], options?: CommandOptions) => Promise<string>

/**
 * Docker Engine 20.10 (`old`, its own image store, the old dialect on the wire) or the one of today (`new`, containerd's
 * store), as /etc/docker/daemon.json of the machine says.
 */
export async function startDockerd(machine: Machine, age: 'old' | 'new', ...more: string[]): Promise<Docker> {
  const at = (name: string) => join(machine.directory, name)
  const socket = `unix://${at('d.sock')}`
  // Debian's docker command speaks an older API than the daemon of today would take by itself.
  const env = { PATH: paths[age], DOCKER_MIN_API_VERSION: '1.41' }
  const docker: Docker = (parameters, options) =>
    machine.run(toolPath('docker'), ['--host', socket, '--config', at('.docker'), ...parameters], options)

  await machine.start(
    toolPath(`dockerd (${age})`),
    [
      ...['--data-root', at('data'), '--exec-root', at('exec'), '--pidfile', at('pid'), '--host', socket],
      ...['--iptables=false', '--ip6tables=false', '--bridge=none', ...more],
    ],
    { env, ready: () => docker(['version']) },
  )
  return docker
}

export function dockerClient(docker: Docker): Client {
  return {
    async pull(image) {
      await docker(['pull', '--quiet', image])
      return digestsIn(await docker(['image', 'inspect', '--format', '{{.RepoDigests}}', image]))
    },
  }
}
