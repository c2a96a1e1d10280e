import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { password } from '../../support/hosted.ts'
import { toolPath } from '../../support/tools.ts'
import { digestsIn } from './client.ts'
import type { Machine } from './machine.ts'
import type { PushSite } from './push-site.ts'
import type { Pushing } from './pushing.ts'

/** It mounts what it copies within a registry. */
export async function cranePushing(machine: Machine, { host, isSecure }: PushSite): Promise<Pushing> {
  const flags = isSecure ? [] : ['--insecure']
  const crane = (...parameters: string[]) => machine.run(toolPath('crane'), [...flags, ...parameters])
  const digestOf = async (image: string) => (await crane('digest', image)).trim()
  let pulls = 0
  const login = ['auth', 'login', host, '--username', 'admin', '--password-stdin']
  await machine.run(toolPath('crane'), login, { input: password })
  return {
    async copy(from, to) {
      await crane('copy', from, to)
      return digestOf(to)
    },
    async pull(image) {
      const layout = join(machine.directory, `crane-${pulls++}`)
      await crane('pull', '--format', 'oci', image, layout)
      return digestsIn(await readFile(join(layout, 'index.json'), 'utf8'))
    },
    async join(images, to) {
      await crane('index', 'append', ...images.flatMap((image) => ['--manifest', image]), '--tag', to)
      return digestOf(to)
    },
    tags: async (repository) => linesIn(await crane('ls', repository)),
    repositories: async () => linesIn(await crane('catalog', host)),
    remove: (image) => crane('delete', image),
  }
}

/** It sends what is larger than 100,000 bytes in chunks. */
export async function regctlPushing(machine: Machine, { host, isSecure }: PushSite): Promise<Pushing> {
  const regctl = (...parameters: string[]) => machine.run(toolPath('regctl'), parameters)
  const digestOf = async (image: string) => (await regctl('image', 'digest', image)).trim()
  let layouts = 0
  async function fetched(image: string): Promise<string> {
    const layout = join(machine.directory, `regctl-${layouts++}`)
    await regctl('image', 'copy', image, `ocidir://${layout}:1`)
    return layout
  }
  const chunks = ['--blob-max', '100000', '--blob-chunk', '65536']
  await regctl('registry', 'set', host, '--skip-check', '--tls', isSecure ? 'enabled' : 'disabled', ...chunks)
  const login = ['registry', 'login', host, '--user', 'admin', '--pass-stdin']
  await machine.run(toolPath('regctl'), login, { input: password })
  return {
    async copy(from, to) {
      await regctl('image', 'copy', `ocidir://${await fetched(from)}:1`, to)
      return digestOf(to)
    },
    async pull(image) {
      return digestsIn(await readFile(join(await fetched(image), 'index.json'), 'utf8'))
    },
    async join(images, to) {
      await regctl('index', 'create', to, ...images.flatMap((image) => ['--ref', image]))
      return digestOf(to)
    },
    tags: async (repository) => linesIn(await regctl('tag', 'ls', repository)),
    remove: (image) => regctl(image.includes('@') ? 'manifest' : 'tag', 'delete', image),
  }
}

function linesIn(said: string): string[] {
  return said.trim().split('\n')
}
