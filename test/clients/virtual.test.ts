import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startVirtual, type VirtualSite } from '../flows/support/virtual.ts'
import { basic, password } from '../support/hosted.ts'
import { blobsOf, buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { tarOf } from '../support/tar.ts'
import { describeWith, type Tool, toolPath } from '../support/tools.ts'
import { digestsIn } from './support/client.ts'
import { type Docker, startDockerd } from './support/docker.ts'
import { freshLoopbackAddress } from './support/loopback.ts'
import { type Machine, startMachine } from './support/machine.ts'

const host = 'edge.example:5000'
const base = buildImage({ layers: [1024, 400_000], seed: 'base of others' })
const file = 'what was built'

/** A client that pulls `name:1`, which is upstream's, and builds on it. */
interface Builder {
  name: string
  needs: readonly Tool[]
  /** @returns what pushes what is built as `name:mine`, and `name:1` as it is as `name:1`; digests as it says them */
  build(machine: Machine, name: string): Promise<{ mine(): Promise<string>; same?(): Promise<string> }>
}

async function dockerBuild(machine: Machine, age: 'old' | 'new', name: string) {
  const docker: Docker = await startDockerd(machine, age)
  await docker(['login', '--username', 'admin', '--password-stdin', host], { input: password })
  await docker(['pull', '--quiet', `${name}:1`])
  const container = (await docker(['create', `${name}:1`, '/none'])).trim()
  await docker(['cp', join(machine.directory, 'file'), `${container}:/file`])
  await docker(['commit', container, `${name}:mine`])
  const push = async (tag: string) => digestsIn(await docker(['push', `${name}:${tag}`])).at(-1) ?? ''
  return { mine: () => push('mine'), same: () => push('1') }
}

const builders: Builder[] = [
  {
    name: 'Docker Engine 20.10',
    needs: ['docker', 'dockerd (old)', 'containerd (old)', 'runc'],
    build: (machine, name) => dockerBuild(machine, 'old', name),
  },
  {
    name: 'Docker Engine 29',
    needs: ['docker', 'dockerd (new)', 'runc'],
    build: (machine, name) => dockerBuild(machine, 'new', name),
  },
  {
    name: 'podman',
    needs: ['podman'],
    async build(machine, name) {
      const at = (path: string) => join(machine.directory, path)
      const storage = ['--root', at('pod'), '--runroot', at('podrun'), '--storage-driver', 'vfs']
      const podman = (...parameters: string[]) =>
        machine.run(toolPath('podman'), [...storage, '--cgroup-manager', 'cgroupfs', ...parameters])
      await podman('login', '--tls-verify=false', '--username', 'admin', '--password', password, host)
      await writeFile(at('Containerfile'), `FROM ${name}:1\nCOPY file /file\n`)
      const build = ['--isolation', 'chroot', '--tag', `${name}:mine`, '--file', at('Containerfile')]
      await podman('build', '--tls-verify=false', ...build, machine.directory)
      const push = async (tag: string) => {
        await podman('push', '--tls-verify=false', '--digestfile', at('digest'), `${name}:${tag}`)
        return readFile(at('digest'), 'utf8')
      }
      return { mine: () => push('mine'), same: () => push('1') }
    },
  },
  {
    name: 'crane',
    needs: ['crane'],
    async build(machine, name) {
      const crane = (parameters: string[], input?: string) =>
        machine.run(toolPath('crane'), parameters, input === undefined ? {} : { input })
      await crane(['auth', 'login', host, '--username', 'admin', '--password-stdin'], password)
      const layer = join(machine.directory, 'layer.tar')
      await writeFile(layer, tarOf([{ name: 'file', bytes: Buffer.from(file) }]))
      const images = ['--base', `${name}:1`, '--new_tag', `${name}:mine`, '--new_layer', layer]
      return {
        mine: async () => digestsIn(await crane(['append', '--insecure', ...images])).at(-1) ?? '',
        async same() {
          await crane(['copy', '--insecure', `${name}:1`, `${name}:1`])
          return base.manifest.digest
        },
      }
    },
  },
  {
    name: 'skopeo',
    needs: ['skopeo'],
    async build(machine, name) {
      const copy = async (tag: string) => {
        await machine.run(toolPath('skopeo'), [
          ...['--insecure-policy', 'copy', '--preserve-digests'],
          ...['--src-tls-verify=false', '--dest-tls-verify=false', '--dest-creds', `admin:${password}`],
          ...[`docker://${name}:1`, `docker://${name}:${tag}`],
        ])
        return base.manifest.digest
      }
      return { mine: () => copy('mine'), same: () => copy('1') }
    },
  },
]

const address = freshLoopbackAddress()
let site: VirtualSite
beforeAll(async () => {
  site = await startVirtual({
    env: { OUTPORT_LISTEN: `${address}:5000`, OUTPORT_PUBLIC_URL: `http://${host}` },
  })
})
afterAll(() => site[Symbol.asyncDispose]())

for (const { name, needs, build } of builders) {
  describeWith([...needs, 'namespaces'], name, () => {
    const path = name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')
    const own = async (tag: string) => {
      site.upstream.clear()
      const pulled = await pull(site.edge.url, `lib/${path}`, tag, { headers: basic('admin', password) })
      expect(site.upstream.requests).toEqual([])
      const [told] = [JSON.parse((await site.run('explain', '--json', `lib/${path}:${tag}`)).stdout)]
      expect(told).toMatchObject({
        cache: { isWhole: true, tagOf: 'this site' },
        eviction: { kind: 'kept', origin: 'pushed' },
      })
      return pulled
    }

    test.each([
      'that is here',
      'that is not here any more',
    ])('pushes what it has built on an image of upstream %s, and that image as its own', {
      timeout: 180_000,
    }, async (where) => {
      const { upstream } = site
      upstream.addImage(`library/${path}`, '1', base)
      await using machine = await startMachine({
        names: { 'edge.example': address },
        etc: { 'docker/daemon.json': JSON.stringify({ 'insecure-registries': [host] }) },
      })
      await mkdir(join(machine.directory, '.docker'), { recursive: true })
      await writeFile(join(machine.directory, 'file'), file)
      const { mine, same } = await build(machine, `${host}/lib/${path}`)
      if (where !== 'that is here') await site.run('evict', `lib/${path}:1`)
      upstream.clear()

      const pushed = (await mine()).trim()
      expect(upstream.requests.filter(({ method }) => method !== 'GET' && method !== 'HEAD')).toEqual([])
      const got = await own('mine')
      expect(got.digest).toBe(pushed)
      if (name === 'crane' || name.startsWith('Docker'))
        expect(got.blobs).toEqual(expect.arrayContaining(base.layers.map(({ digest }) => digest)))

      const again = (await same?.())?.trim()
      expect((await own('1')).digest).toBe(again)
      // For the next one all is as it was.
      for (const tag of ['1', 'mine']) await site.admin.send('DELETE', `/v2/lib/${path}/manifests/${tag}`)
      for (const { digest } of [base.manifest, ...blobsOf(base)])
        for (const kind of ['manifests', 'blobs'])
          await site.admin.send('DELETE', `/v2/lib/${path}/${kind}/${digest}`)
    })
  })
}
