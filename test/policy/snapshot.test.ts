import { execFile } from 'node:child_process'
import { mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../support/temporary.ts'
import { describeWith, toolPath } from '../support/tools.ts'
import { loadFrom, policyFolder, readable, siteIn } from './policy-folder.ts'

const project = (name: string) => `kind: project\nname: ${name}\nproxy: hub\npublic: ["**"]\n`
const hub =
  'kind: registry\nname: hub\ntype: docker-hub\ncredential: { username: me, password: { file: token } }\n'

/** As the kubelet mounts a ConfigMap: files are links through `..data`, which is turned in one step. */
async function configMap(folder: string) {
  await mkdir(folder)
  let version = 0
  return async function publish(files: Record<string, string>): Promise<void> {
    const name = `..version-${++version}`
    await mkdir(join(folder, name))
    for (const [file, text] of Object.entries(files)) {
      await writeFile(join(folder, name, file), text)
      await symlink(join('..data', file), join(folder, file)).catch(() => undefined)
    }
    await symlink(name, join(folder, '..next'))
    await rename(join(folder, '..next'), join(folder, '..data'))
  }
}

test('a ConfigMap that is swapped while it is read is read again, whole', async () => {
  await using directory = await temporaryDirectory()
  const folder = join(directory.path, 'policies')
  const publish = await configMap(folder)
  await publish({ 'a.yaml': hub, 'b.yaml': project('old'), token: 'old' })
  let swaps = 0

  const loaded = await loadFrom(folder, {
    async file(path) {
      const text = await readFile(path, 'utf8')
      if (++swaps === 1) await publish({ 'a.yaml': hub, 'b.yaml': project('new'), token: 'new' })
      return text
    },
  })

  const site = siteIn(loaded)
  expect([...site.projects.keys()]).toEqual(['new'])
  expect(site.registries.get('hub')?.credential?.password).toBe('new')
})

test('a folder that never rests is a problem, not half a site', async () => {
  await using folder = await policyFolder({ 'a.yaml': hub, token: 'x' })
  let writes = 0
  const loaded = await folder.load({
    async file() {
      await folder.write('b.yaml', `# ${'x'.repeat(++writes)}\n`)
      return 'x'
    },
  })
  expect(readable(loaded, folder)).toEqual([
    expect.stringContaining('a folder that stays as it is while it is read'),
  ])
})

test('the folder may be a link', async () => {
  await using folder = await policyFolder({ 'a.yaml': hub, 'b.yaml': project('p'), token: 'x' })
  const link = `${folder.path}-link`
  await symlink(folder.path, link)
  expect([...siteIn(await loadFrom(link)).projects.keys()]).toEqual(['p'])
})

describeWith(['mkfifo'], 'beside a pipe', () => {
  test('a name that is no file is a problem, and nothing waits for it', async () => {
    await using folder = await policyFolder({ 'sub.yaml/x.yaml': hub })
    await promisify(execFile)(toolPath('mkfifo'), [join(folder.path, 'pipe.yaml')])
    await symlink('nowhere', join(folder.path, 'link.yaml'))
    expect(readable(await folder.load(), folder)).toEqual([
      'link.yaml: expected a file that can be read, found none there',
      'pipe.yaml: expected a file, found something else',
      'sub.yaml: expected a file, found something else',
    ])
  })
})

test('a folder that is not there is a problem', async () => {
  await using folder = await policyFolder({})
  await rm(folder.path, { recursive: true })
  expect(readable(await folder.load(), folder)).toEqual([
    `${folder.path}: expected a folder that can be read, found none there`,
  ])
})
