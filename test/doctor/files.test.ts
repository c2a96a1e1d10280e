import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { getuid } from 'node:process'
import { describe, expect, test } from 'vitest'
import { checkFiles } from '../../src/doctor/files/check-files.ts'
import { createMachine } from '../../src/doctor/machine.ts'
import { clientFiles, settingsNames } from '../../src/doctor/settings/client-settings.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { diagnose, examine } from './support/diagnosis.ts'

const door = new URL('http://edge.example:5000')
const plugin1 = 'plugins."io.containerd.grpc.v1.cri".registry'
const plugin2 = 'plugins."io.containerd.cri.v1.images".registry'
const folder = '/etc/containerd/certs.d'

async function write(root: string, files: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), text)
  }
}

/** Codes of what is wrong with a machine that has these files. */
async function check(files: Record<string, string>): Promise<string[]> {
  await using root = await temporaryDirectory()
  await write(root.path, files)
  return (await checkFiles(createMachine(root.path), [door])).map(({ code }) => code)
}

const hosts = `[host."${door.origin}"]\n  capabilities = ["pull", "resolve"]\n`
const mirror = (lines: string) =>
  `[[registry]]\nprefix = "docker.io"\nlocation = "docker.io"\n[[registry.mirror]]\n${lines}\n`

test.each<[string, Record<string, string>, string[]]>([
  ['no file at all', {}, []],
  ['daemon.json that is no JSON', { '/etc/docker/daemon.json': '{"registry-mirrors": [' }, ['file-invalid']],
  ['daemon.json that is no object', { '/etc/docker/daemon.json': '[]' }, ['file-invalid']],
  [
    'one mirror that is no list',
    { '/etc/docker/daemon.json': `{"registry-mirrors": "${door.origin}"}` },
    ['file-invalid'],
  ],
  [
    'a mirror without a scheme',
    { '/etc/docker/daemon.json': '{"registry-mirrors": ["edge.example:5000"]}' },
    ['file-invalid'],
  ],
  [
    'a mirror with a password',
    { '/etc/docker/daemon.json': '{"registry-mirrors": ["http://a:b@edge.example"]}' },
    ['file-invalid'],
  ],
  [
    'a key that is never read',
    { '/etc/docker/daemon.json': `{"registry-mirror": ["${door.origin}"]}` },
    ['file-invalid'],
  ],
  [
    'a mirror with a path',
    { '/etc/docker/daemon.json': `{"registry-mirrors": ["${door.origin}/docker.io"]}` },
    ['mirror-with-path'],
  ],
  [
    'a mirror with a slash at its end',
    { '/etc/docker/daemon.json': `{"registry-mirrors": ["${door.origin}/"]}` },
    [],
  ],
  ['hosts.toml and no config.toml', { [`${folder}/docker.io/hosts.toml`]: hosts }, ['config-path-missing']],
  [
    'hosts.toml and no config_path',
    { [`${folder}/_default/hosts.toml`]: hosts, '/etc/containerd/config.toml': 'version = 2\n' },
    ['config-path-missing'],
  ],
  [
    'config_path in the table of the other version',
    {
      [`${folder}/_default/hosts.toml`]: hosts,
      '/etc/containerd/config.toml': `version = 3\n[${plugin1}]\nconfig_path = "${folder}"\n`,
    },
    ['config-path-missing'],
  ],
  [
    'config_path in a file that config.toml imports',
    {
      [`${folder}/_default/hosts.toml`]: hosts,
      '/etc/containerd/config.toml': 'version = 3\nimports = ["/etc/containerd/conf.d/*.toml"]\n',
      '/etc/containerd/conf.d/mirror.toml': `version = 3\n[${plugin2}]\nconfig_path = "${folder}"\n`,
    },
    [],
  ],
  [
    'both forms of containerd 1.x',
    {
      '/etc/containerd/config.toml': `version = 2\n[${plugin1}]\nconfig_path = "${folder}"\n[${plugin1}.mirrors."docker.io"]\nendpoint = ["${door.origin}"]\n`,
    },
    ['file-invalid'],
  ],
  ['config.toml that is no TOML', { '/etc/containerd/config.toml': 'version = = 2' }, ['file-invalid']],
  [
    'hosts.toml of docker that is no TOML',
    { '/etc/docker/certs.d/_default/hosts.toml': '[host' },
    ['file-invalid'],
  ],
  [
    'hosts.toml that asks a plain door with https',
    { '/etc/docker/certs.d/_default/hosts.toml': '[host."edge.example:5000"]\n' },
    ['file-invalid'],
  ],
  [
    'a plain mirror without insecure',
    { '/etc/containers/registries.conf': mirror('location = "edge.example:5000/docker.io"') },
    ['insecure-missing'],
  ],
  [
    'the same of somebody else',
    { '/etc/containers/registries.conf': mirror('location = "other.example/docker.io"') },
    [],
  ],
  [
    'a slash at the end of a location',
    {
      '/etc/containers/registries.conf.d/edge.conf': mirror(
        'location = "edge.example:5000/docker.io/"\ninsecure = true',
      ),
    },
    ['trailing-slash'],
  ],
  [
    'a location with a scheme',
    { '/etc/containers/registries.conf': mirror(`location = "${door.origin}"\ninsecure = true`) },
    ['file-invalid'],
  ],
  [
    'both versions of registries.conf',
    {
      '/etc/containers/registries.conf': `[registries.search]\nregistries = ["docker.io"]\n${mirror('location = "edge.example:5000/docker.io"\ninsecure = true')}`,
    },
    ['registries-mixed'],
  ],
  ['registries.conf that is no TOML', { '/etc/containers/registries.conf': '[[registry]' }, ['file-invalid']],
  ['registries.yaml that is no YAML', { '/etc/rancher/k3s/registries.yaml': 'mirrors: [' }, ['file-invalid']],
  [
    'an endpoint that is no list',
    { '/etc/rancher/k3s/registries.yaml': `mirrors:\n  docker.io:\n    endpoint: ${door.origin}\n` },
    ['file-invalid'],
  ],
  [
    'an endpoint without a scheme',
    { '/etc/rancher/k3s/registries.yaml': 'mirrors:\n  docker.io:\n    endpoint: [edge.example]\n' },
    ['file-invalid'],
  ],
  ['a folder in the place of a file', { '/etc/docker/daemon.json/x': '' }, ['file-unreadable']],
])('%s', async (_, files, codes) => {
  expect(await check(files)).toEqual(codes)
})

test.each(settingsNames)('what is printed for %s is right', async (name) => {
  const files = clientFiles(name, {
    registry: door.origin,
    mirror: door.origin,
    hasDefaultMirror: true,
    mirrors: ['docker.io', 'ghcr.io'].map((registry) => ({ registry, path: '', project: registry })),
    authority: 'a certificate',
  })
  expect(files.length).toBeGreaterThan(1)
  expect(await check(Object.fromEntries(files.map(({ path, text }) => [path, text])))).toEqual([])
})

describe('the command', () => {
  test('says which files it has looked at, names the wrong one, and changes none', async () => {
    await using root = await temporaryDirectory()
    await write(root.path, { '/etc/docker/daemon.json': '{' })
    const told = await diagnose(['http://edge.invalid', '--root', root.path])
    expect(told).toMatchObject({ code: 1, mistakes: ['file-invalid', 'name-unresolved'] })
    expect(told.lines.find(({ code }) => code === 'file-invalid')?.where).toBe('/etc/docker/daemon.json')
    const looked = told.lines.find(({ kind }) => kind === 'looked')
    expect(looked?.read).toEqual(['/etc/docker/daemon.json'])
    expect(looked?.absent).toContain('/etc/containers/registries.conf')
  })

  test.skipIf(getuid?.() !== 0)('names a file that its user may not read', async () => {
    await using root = await temporaryDirectory()
    await write(root.path, { '/etc/docker/daemon.json': '{}' })
    await chmod(root.path, 0o755)
    await chmod(join(root.path, 'etc/docker/daemon.json'), 0o600)
    const asNobody = ['setpriv', '--reuid=65534', '--clear-groups']
    const told = await diagnose(['http://edge.invalid', '--root', root.path], {}, asNobody)
    expect(told.mistakes).toEqual(['file-unreadable', 'name-unresolved'])
  })

  test('reads no file that is huge, or that nobody ends', async () => {
    await using root = await temporaryDirectory()
    await write(root.path, { '/etc/docker/daemon.json': ' '.repeat(5 * 1024 * 1024) })
    expect((await examine('http://edge.invalid', { root: root.path })).mistakes).toContain('file-unreadable')
  })
})
