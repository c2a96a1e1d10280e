import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createAuthority } from '../support/certificates.ts'
import { outport } from '../support/command.ts'
import { mirrorPolicies, startEdge } from '../support/edge.ts'
import { buildImage } from '../support/images.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { describeWith, type Tool } from '../support/tools.ts'
import { startUpstream } from '../support/upstream.ts'
import type { Client } from './support/client.ts'
import { kubeletOn } from './support/containerd.ts'
import { podmanOn, skopeoOn } from './support/containers.ts'
import { dockerClient, startDockerd } from './support/docker.ts'
import { freshLoopbackAddress } from './support/loopback.ts'
import { type Machine, startMachine } from './support/machine.ts'

const image = buildImage({ layers: [2000, 30_000], seed: 'printed' })

interface Told {
  title: string
  settings: string
  needs: Tool[]
  start(machine: Machine): Client | Promise<Client>
}

const clients: Told[] = [
  {
    title: 'Docker Engine 20.10',
    settings: 'docker',
    needs: ['docker', 'dockerd (old)', 'containerd (old)', 'runc'],
    start: async (machine) => dockerClient(await startDockerd(machine, 'old')),
  },
  {
    title: 'Docker Engine 29',
    settings: 'docker',
    needs: ['docker', 'dockerd (new)', 'runc'],
    start: async (machine) => dockerClient(await startDockerd(machine, 'new')),
  },
  {
    title: 'containerd 2',
    settings: 'containerd',
    needs: ['containerd (new)', 'ctr'],
    start: (machine) => kubeletOn(machine, 'new'),
  },
  {
    title: 'containerd 1.6',
    settings: 'containerd-1',
    needs: ['containerd (old)', 'ctr'],
    start: (machine) => kubeletOn(machine, 'old'),
  },
  { title: 'podman', settings: 'podman', needs: ['podman'], start: podmanOn },
  { title: 'skopeo', settings: 'podman', needs: ['skopeo'], start: skopeoOn },
]

describeWith(
  ['namespaces', ...new Set(clients.flatMap(({ needs }) => needs))],
  'as the node prints it',
  () => {
    test.each(
      clients.flatMap((client) => (['http', 'https'] as const).map((scheme) => ({ ...client, scheme }))),
    )('$title over $scheme', { timeout: 120_000 }, async ({ settings, start, scheme }) => {
      await using folder = await temporaryDirectory()
      await using upstream = await startUpstream()
      upstream.addImage('library/app', '1', image)
      const listen = `${scheme}://${freshLoopbackAddress()}:5000`
      const env: Record<string, string> = {
        OUTPORT_LISTEN: listen,
        OUTPORT_PUBLIC_URL: `${scheme}://edge.example:5000`,
      }
      if (scheme === 'https') Object.assign(env, await certify(folder.path))
      await using edge = await startEdge({ policies: mirrorPolicies(upstream), env })

      const own = { OUTPORT_DATA: edge.data, OUTPORT_POLICIES: edge.policies, ...env }
      const printed = await outport(['doctor', 'settings', settings, '--json'], own)
      expect(printed).toMatchObject({ code: 0, stderr: '' })
      const files = printed.stdout
        .trim()
        .split('\n')
        .map((line): { path: string; text: string } => JSON.parse(line))
      const names = { 'edge.example': new URL(listen).hostname }
      // containerd's two ages stand side by side on a machine of these tests.
      const placeOf = (path: string) =>
        path === '/etc/containerd/config.toml'
          ? `containerd/${settings === 'containerd' ? 'new' : 'old'}.toml`
          : path.replace('/etc/', '')
      const etc = Object.fromEntries(files.map(({ path, text }) => [placeOf(path), text]))
      await using machine = await startMachine({ names, etc })
      const client = await start(machine)

      expect(await client.pull('docker.io/library/app:1')).toContain(image.manifest.digest)
    })
  },
)

async function certify(folder: string): Promise<Record<string, string>> {
  const authority = createAuthority('authority of the edge')
  const { cert, key } = authority.issue({ names: ['edge.example'] })
  const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  await writeFile(certFile, `${cert}${authority.ca}`)
  await writeFile(keyFile, key)
  return { OUTPORT_TLS_CERT: certFile, OUTPORT_TLS_KEY: keyFile }
}
