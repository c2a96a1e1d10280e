import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { password } from '../../support/hosted.ts'
import { toolPath } from '../../support/tools.ts'
import { digestsIn } from './client.ts'
import type { Machine } from './machine.ts'
import type { PushSite } from './push-site.ts'
import type { Pushing } from './pushing.ts'

/** podman pushes what it has pulled, buildah what it has built. */
export async function containersPushing(
  machine: Machine,
  { host, isSecure }: PushSite,
  name: 'podman' | 'buildah',
): Promise<Pushing> {
  const at = (file: string) => join(machine.directory, file)
  const settings = ['--root', at('pod'), '--runroot', at('podrun'), '--storage-driver', 'vfs']
  if (name === 'podman') settings.push('--cgroup-manager', 'cgroupfs')
  const tool = (...parameters: string[]) => machine.run(toolPath(name), [...settings, ...parameters])
  const tls = `--tls-verify=${isSecure}`
  const told = ['--digestfile', at('digest')]
  const pushed = async () => (await readFile(at('digest'), 'utf8')).trim()

  async function build(image: string): Promise<void> {
    await writeFile(at('file'), 'what was built')
    const container = (await tool('from', 'scratch')).trim()
    await tool('add', container, at('file'), '/file')
    await tool('commit', container, image)
  }
  await tool('login', tls, '--username', 'admin', '--password', password, host)
  return {
    async copy(from, to) {
      if (name === 'podman') await tool('pull', tls, from)
      else await build(from)
      await tool('push', tls, ...told, from, `docker://${to}`)
      await tool('rmi', '--force', from)
      return pushed()
    },
    async pull(image) {
      await tool('pull', tls, image)
      return digestsIn(await tool('images', '--digests', '--format', '{{.Digest}}'))
    },
    async join(images, to) {
      await tool('manifest', 'create', 'joined')
      for (const image of images) await tool('manifest', 'add', tls, 'joined', `docker://${image}`)
      await tool('manifest', 'push', tls, '--all', ...told, 'joined', `docker://${to}`)
      return pushed()
    },
  }
}

/** skopeo makes no indexes, but it copies them. */
export async function skopeoPushing(machine: Machine, { host, isSecure }: PushSite): Promise<Pushing> {
  const skopeo = (...parameters: string[]) =>
    machine.run(toolPath('skopeo'), ['--insecure-policy', ...parameters])
  const tls = `tls-verify=${isSecure}`
  const copy = (...parameters: string[]) => skopeo('copy', '--all', '--preserve-digests', ...parameters)
  const digestOf = async (image: string) =>
    (await skopeo('inspect', `--${tls}`, '--format', '{{.Digest}}', `docker://${image}`)).trim()
  let layouts = 0
  async function fetched(image: string): Promise<string> {
    const layout = join(machine.directory, `skopeo-${layouts++}`)
    await copy(`--src-${tls}`, `docker://${image}`, `oci:${layout}:1`)
    return layout
  }
  await skopeo('login', `--${tls}`, '--username', 'admin', '--password', password, host)
  return {
    async copy(from, to) {
      await copy(`--dest-${tls}`, `oci:${await fetched(from)}:1`, `docker://${to}`)
      return digestOf(to)
    },
    async pull(image) {
      return digestsIn(await readFile(join(await fetched(image), 'index.json'), 'utf8'))
    },
    tags: async (repository) =>
      JSON.parse(await skopeo('list-tags', `--${tls}`, `docker://${repository}`)).Tags,
    remove: (image) => skopeo('delete', `--${tls}`, `docker://${image}`),
  }
}
