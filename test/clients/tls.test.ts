import { afterAll, beforeAll, expect, test } from 'vitest'
import { bothDoors, type OwnTls, ownTls } from '../flows/support/own-tls.ts'
import { outport } from '../support/command.ts'
import { mirrorPolicies } from '../support/edge.ts'
import { buildImage } from '../support/images.ts'
import { describeWith, type Tool, toolPath } from '../support/tools.ts'
import { startUpstream } from '../support/upstream.ts'
import { ctrOn } from './support/containerd.ts'
import { podmanOn, skopeoOn } from './support/containers.ts'
import { dockerClient, startDockerd } from './support/docker.ts'
import { freshLoopbackAddress } from './support/loopback.ts'
import { type Machine, startMachine } from './support/machine.ts'
import { readSettings } from './support/site.ts'

interface Trusting {
  name: string
  needs: readonly Tool[]
  /** How the title of its step begins. */
  step: string
  start(machine: Machine): Promise<(image: string) => Promise<unknown>>
}

const clients: Trusting[] = [
  {
    name: 'Docker Engine 29',
    needs: ['docker', 'dockerd (new)', 'runc'],
    step: 'docker',
    start: async (machine) => dockerClient(await startDockerd(machine, 'new')).pull,
  },
  {
    name: 'containerd 2',
    needs: ['containerd (new)', 'ctr'],
    step: 'containerd',
    start: async (machine) => (await ctrOn(machine)).pull,
  },
  { name: 'podman', needs: ['podman'], step: 'podman', start: async (machine) => podmanOn(machine).pull },
  { name: 'skopeo', needs: ['skopeo'], step: 'podman', start: async (machine) => skopeoOn(machine).pull },
  {
    name: 'crane',
    needs: ['crane'],
    step: 'crane',
    start: async (machine) => (image) => machine.run(toolPath('crane'), ['validate', '--remote', image]),
  },
]

const image = buildImage({ layers: [1024, 1024 * 1024], seed: 'trusted' })

/** The commands of each step that `tls init` prints, by title. */
function stepsIn(said: string): Map<string, string> {
  const [, ...steps] = said.split('\n\n')
  return new Map(
    steps.map((step) => {
      const [title = '', ...lines] = step.trimEnd().split('\n')
      return [title, lines.map((line) => line.slice(2)).join('\n')]
    }),
  )
}

describeWith([...new Set(clients.flatMap(({ needs }) => needs)), 'curl', 'namespaces'], 'over TLS', () => {
  const owned = new AsyncDisposableStack()
  const address = freshLoopbackAddress()
  let own: OwnTls
  let steps: Map<string, string>

  beforeAll(async () => {
    const upstream = owned.use(await startUpstream())
    upstream.addImage('library/app', '1', image)
    own = owned.use(await ownTls(mirrorPolicies(upstream)))
    const doors = { ...bothDoors, OUTPORT_LISTEN: `http://${address}:5000,https://${address}:5443` }
    const redirect = { OUTPORT_TLS_REDIRECT: 'on' }
    const said = await outport(['tls', 'init', 'edge.example'], { OUTPORT_DATA: own.data, ...doors })
    steps = stepsIn(said.stdout)
    owned.use(await own.start({ ...doors, ...redirect }))
  })
  afterAll(() => owned.disposeAsync())

  function commandsOf(title: string): string {
    const found = [...steps].find(([each]) => each.startsWith(title))
    if (!found) throw new Error(`no step for ${title} in ${[...steps.keys()]}`)
    return found[1]
  }

  async function startClient({ isMirrored }: { isMirrored: boolean }): Promise<Machine> {
    const { 'docker/daemon.json': mirror = '', ...settings } = await readSettings()
    // With a mirror dockerd takes any certificate of a registry on loopback.
    const etc = isMirrored ? { ...settings, 'docker/daemon.json': mirror } : settings
    const machine = await startMachine({ names: { 'edge.example': address }, etc })
    // Of a machine only /etc is its own.
    await machine.run('mount', ['-t', 'tmpfs', 'tmpfs', '/usr/local/share/ca-certificates'])
    return machine
  }

  async function tell(machine: Machine, step: string): Promise<void> {
    const told = ['set -e', `cd ${machine.directory}`, commandsOf('on each client'), commandsOf(step)]
    await machine.run('sh', ['-c', told.join('\n')])
  }

  test.each(clients)('$name pulls when it has been told what tls init prints, and not before', async ({
    step,
    start,
  }) => {
    await using machine = await startClient({ isMirrored: false })
    const pull = await start(machine)
    const name = 'edge.example:5443/docker.io/library/app:1'
    await expect(pull(name)).rejects.toThrow(/x509: certificate signed by unknown authority/)

    await tell(machine, step)

    const had = await pull(name)
    if (step !== 'crane') expect(had).toContain(image.manifest.digest)
  })

  test.each(
    clients.filter(({ step }) => step !== 'crane'),
  )('$name, told of a mirror without TLS, follows it to the one with TLS', async ({ start }) => {
    await using machine = await startClient({ isMirrored: true })
    await tell(machine, 'crane')
    const pull = await start(machine)

    expect(await pull('docker.io/library/app:1')).toContain(image.manifest.digest)
  })
})
