import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { paths, toolPath } from '../../support/tools.ts'
import { type Client, digestsIn } from './client.ts'
import { expectReadyForKubelet, pullByKubelet } from './cri.ts'
import type { Machine } from './machine.ts'

interface Containerd {
  /** Runs ctr; containerd 2's own, whatever the daemon's age. */
  ctr(...parameters: string[]): Promise<string>
  /** The Unix socket, seen from outside the machine too. */
  readonly socket: string
}

/** containerd 2 (`new`) or 1.6 (`old`), as /etc/containerd/new.toml or old.toml of the machine says. */
async function startContainerd(
  machine: Machine,
  age: 'old' | 'new',
  isReady: (socket: string) => Promise<unknown> = access,
): Promise<Containerd> {
  const at = (name: string) => join(machine.directory, name)
  const socket = at('c.sock')
  await machine.start(
    toolPath(`containerd (${age})`),
    [
      ...['--config', `/etc/containerd/${age}.toml`],
      ...['--root', at('root'), '--state', at('state'), '--address', socket],
    ],
    // A ctr that is started before the socket is there backs off for many seconds.
    { env: { PATH: paths[age] }, ready: () => isReady(socket) },
  )
  return {
    socket,
    ctr: (...parameters) => machine.run(toolPath('ctr'), ['--address', socket, ...parameters]),
  }
}

/** `ctr images pull --hosts-dir`. */
export async function ctrOn(machine: Machine): Promise<Client> {
  const { ctr } = await startContainerd(machine, 'new')
  return {
    async pull(image) {
      await ctr('images', 'pull', '--hosts-dir', '/etc/containerd/certs.d', image)
      return digestsIn(await ctr('images', 'ls', `name==${image}`))
    },
  }
}

/** What a kubelet does. */
export async function kubeletOn(machine: Machine, age: 'old' | 'new'): Promise<Client> {
  const { socket, ctr } = await startContainerd(machine, age, expectReadyForKubelet)
  return {
    async pull(image) {
      await pullByKubelet(socket, image)
      return digestsIn(await ctr('--namespace', 'k8s.io', 'images', 'ls', `name==${image}`))
    },
  }
}
