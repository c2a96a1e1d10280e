import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Edge } from '../support/edge.ts'
import { basic, createPusher, type Pusher, password, startHosted } from '../support/hosted.ts'
import { buildImage, buildIndex } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { describeWith, type Tool, toolPath } from '../support/tools.ts'
import { digestsIn } from './support/client.ts'
import { startDockerd } from './support/docker.ts'
import { freshLoopbackAddress } from './support/loopback.ts'
import { type Machine, startMachine } from './support/machine.ts'

const host = 'edge.example:5000'
const source = `${host}/open/app:1`
const amd64 = buildImage({ layers: [1024, 200_000, 3_000_000] })
const index = buildIndex([
  { image: amd64 },
  { image: buildImage({ layers: [5000], platform: 'linux/arm64' }) },
])

/** A client that has {@link source} and pushes it under another name. */
interface Copies {
  name: string
  needs: readonly Tool[]
  /** @returns the digest that it says it has pushed */
  push(machine: Machine, to: string): Promise<string>
  /** What it pushes is, byte for byte, what it pulled: the index, or the image of this platform. */
  keeps?: 'index' | 'image'
}

const digestFile = (machine: Machine) => join(machine.directory, 'digest')
const storage = (machine: Machine) => [
  ...['--root', join(machine.directory, 'pod'), '--runroot', join(machine.directory, 'podrun')],
  ...['--storage-driver', 'vfs'],
]

async function dockerPush(machine: Machine, age: 'old' | 'new', to: string): Promise<string> {
  const docker = await startDockerd(machine, age)
  await docker(['login', '--username', 'admin', '--password-stdin', host], { input: password })
  await docker(['pull', '--quiet', source])
  await docker(['tag', source, to])
  const said = await docker(['push', to])
  await docker(['rmi', '--force', to, source])
  await docker(['pull', '--quiet', to])
  const pushed = digestsIn(said).at(-1) ?? ''
  expect(digestsIn(await docker(['image', 'inspect', '--format', '{{.RepoDigests}}', to]))).toContain(pushed)
  return pushed
}

const clients: Copies[] = [
  {
    name: 'Docker Engine 20.10',
    needs: ['docker', 'dockerd (old)', 'containerd (old)', 'runc'],
    push: (machine, to) => dockerPush(machine, 'old', to),
  },
  {
    name: 'Docker Engine 29',
    needs: ['docker', 'dockerd (new)', 'runc'],
    push: (machine, to) => dockerPush(machine, 'new', to),
    keeps: 'image',
  },
  {
    name: 'podman',
    needs: ['podman'],
    async push(machine, to) {
      const podman = (...parameters: string[]) =>
        machine.run(toolPath('podman'), [...storage(machine), '--cgroup-manager', 'cgroupfs', ...parameters])
      await podman('login', '--tls-verify=false', '--username', 'admin', '--password', password, host)
      await podman('pull', '--tls-verify=false', source)
      await podman('push', '--tls-verify=false', '--digestfile', digestFile(machine), source, to)
      await podman('rmi', '--force', source)
      await podman('pull', '--tls-verify=false', to)
      return readFile(digestFile(machine), 'utf8')
    },
  },
  {
    name: 'buildah',
    needs: ['buildah'],
    async push(machine, to) {
      const buildah = (...parameters: string[]) =>
        machine.run(toolPath('buildah'), [...storage(machine), ...parameters])
      await writeFile(join(machine.directory, 'file'), 'what was built')
      await buildah('login', '--tls-verify=false', '--username', 'admin', '--password', password, host)
      const container = (await buildah('from', 'scratch')).trim()
      await buildah('add', container, join(machine.directory, 'file'), '/file')
      await buildah('commit', container, to)
      await buildah('push', '--tls-verify=false', '--digestfile', digestFile(machine), to)
      await buildah('rmi', '--force', to)
      await buildah('pull', '--tls-verify=false', to)
      return readFile(digestFile(machine), 'utf8')
    },
  },
  {
    name: 'skopeo',
    needs: ['skopeo'],
    async push(machine, to) {
      await machine.run(toolPath('skopeo'), [
        ...['--insecure-policy', 'copy', '--all', '--preserve-digests'],
        ...['--src-tls-verify=false', '--dest-tls-verify=false', '--dest-creds', `admin:${password}`],
        ...[`docker://${source}`, `docker://${to}`],
      ])
      return index.manifest.digest
    },
    keeps: 'index',
  },
  {
    name: 'crane',
    needs: ['crane'],
    async push(machine, to) {
      const crane = (parameters: string[], input?: string) =>
        machine.run(toolPath('crane'), parameters, input === undefined ? {} : { input })
      await crane(['auth', 'login', host, '--username', 'admin', '--password-stdin'], password)
      await crane(['copy', '--insecure', source, to])
      expect(await crane(['ls', '--insecure', to.replace(/:[^/]*$/, '')])).toBe('1\n')
      expect(await crane(['catalog', '--insecure', host])).toContain(to.slice(host.length + 1, -2))
      await crane(['tag', '--insecure', to, '2'])
      await crane(['delete', '--insecure', to.replace(/:1$/, ':2')])
      return (await crane(['digest', '--insecure', to])).trim()
    },
    keeps: 'index',
  },
]

const address = freshLoopbackAddress()
let edge: Edge
let pusher: Pusher

beforeAll(async () => {
  edge = await startHosted({
    env: {
      OUTPORT_LISTEN: `${address}:5000`,
      OUTPORT_PUBLIC_URL: `http://${host}`,
    },
  })
  pusher = createPusher(edge)
  await pusher.pushIndex('open/app', index, '1')
})

afterAll(() => edge[Symbol.asyncDispose]())

for (const { name, needs, push, keeps } of clients) {
  describeWith([...needs, 'namespaces'], name, () => {
    test('logs in, pushes, and what comes back is what it pushed', { timeout: 180_000 }, async () => {
      const path = `team/${name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}`
      await using machine = await startMachine({
        names: { 'edge.example': address },
        etc: { 'docker/daemon.json': JSON.stringify({ 'insecure-registries': [host] }) },
      })
      await mkdir(join(machine.directory, '.docker'), { recursive: true })

      const digest = await push(machine, `${host}/${path}:1`)

      const got = await pull(edge.url, path, '1', { headers: basic('admin', password) })
      expect(got.digest).toBe(digest.trim())
      if (keeps === 'index') expect(got.digest).toBe(index.manifest.digest)
      if (keeps === 'image') expect([amd64.manifest.digest, index.manifest.digest]).toContain(got.digest)
      const { status } = await createPusher(edge, {}).send('GET', `/v2/${path}/manifests/1`)
      expect(status).toBe(401)
    })
  })
}
