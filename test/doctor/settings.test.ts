import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { clientFiles, type SettingsName } from '../../src/doctor/settings/client-settings.ts'
import type { NodeAddress } from '../../src/doctor/settings/node-address.ts'
import { outport } from '../support/command.ts'
import { startEdge } from '../support/edge.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const edge: NodeAddress = {
  registry: 'http://edge.example:5000',
  mirror: 'http://edge.example:5000',
  hasDefaultMirror: true,
  mirrors: ['docker.io', 'ghcr.io'].map((registry) => ({ registry, path: '', project: registry })),
}

test.each<[SettingsName, string, string]>([
  ['docker', '/etc/docker/daemon.json', 'daemon.json'],
  ['containerd', '/etc/containerd/config.toml', 'containerd-2.toml'],
  ['containerd', '/etc/containerd/certs.d/_default/hosts.toml', 'certs.d/_default/hosts.toml'],
  ['containerd', '/etc/containerd/certs.d/docker.io/hosts.toml', 'certs.d/docker.io/hosts.toml'],
  ['containerd-1', '/etc/containerd/config.toml', 'containerd-1.toml'],
  ['podman', '/etc/containers/registries.conf', 'registries.conf'],
  ['k3s', '/etc/rancher/k3s/registries.yaml', 'k3s-registries.yaml'],
])('what is printed for %s as %s stands in deploy/clients', async (client, path, name) => {
  const shown = await readFile(join(import.meta.dirname, '../../deploy/clients', name), 'utf8')
  expect(clientFiles(client, edge).find((file) => file.path === path)?.text).toBe(shown)
})

test('registries are told apart down to the path that a project mirrors', () => {
  const harbor = { registry: 'harbor.corp:8443', path: 'team', project: 'team' }
  const node = { ...edge, mirrors: [harbor] }
  expect(clientFiles('podman', node)[0]?.text).toContain(
    'prefix = "harbor.corp:8443/team"\nlocation = "harbor.corp:8443/team"\n[[registry.mirror]]\nlocation = "edge.example:5000/team"\n',
  )
  expect(clientFiles('containerd', node).map(({ path }) => path)).toContain(
    '/etc/containerd/certs.d/harbor.corp_8443_/hosts.toml',
  )
})

const hosted = `
kind: registry
name: upstream
type: docker-hub
---
kind: project
name: docker.io
proxy: upstream
public: true
---
kind: project
name: own
`

test('the command prints them for the doors of the running node', async () => {
  await using site = await startEdge({
    policies: { 'site.yaml': hosted },
    env: { OUTPORT_MIRROR_LISTEN: '127.0.0.1:0' },
  })
  const env = {
    OUTPORT_DATA: site.data,
    OUTPORT_POLICIES: site.policies,
    OUTPORT_MIRROR_LISTEN: '127.0.0.1:0',
  }
  const docker = await outport(['doctor', 'settings'], env)
  expect(docker).toMatchObject({ code: 0, stderr: '' })
  expect(docker.stdout).toMatch(
    `# /etc/docker/daemon.json\n{\n  "registry-mirrors": ["${site.mirrorUrl}"]\n}\n\n# /etc/docker/certs.d/_default/hosts.toml: `,
  )
  // Only there are names of projects known.
  const podman = await outport(['doctor', 'settings', 'podman'], env)
  expect(podman.stdout).toContain(`location = "${site.host}/docker.io"`)
})

test('and for those that the settings ask for, under the name of this site', async () => {
  await using folder = await temporaryDirectory()
  const env = { OUTPORT_DATA: folder.path, OUTPORT_PUBLIC_URL: 'http://edge.corp:80', OUTPORT_LISTEN: ':80' }
  const told = await outport(['doctor', 'settings', 'k3s'], env)
  expect(told.stdout).toContain('  quay.io:\n    endpoint: ["http://edge.corp"]\n')
})

test.each([
  [
    'a client that it has none for',
    ['settings', 'rkt'],
    {},
    'there are no settings for rkt; there are some for docker, containerd',
  ],
  [
    'no door that suits',
    ['settings', 'docker'],
    { OUTPORT_LISTEN: '127.0.0.1:0' },
    'no door of this node is for docker',
  ],
  ['an address with a path', ['http://edge:5000/v2/'], {}, 'expected the address of a door without a path'],
  ['an address without a scheme', ['edge:5000'], {}, 'expected the address of a door without a path'],
  ['a client that there is none of', ['--client', 'rkt'], {}, 'there is no client rkt; there are docker-old'],
  ['an image that is none', ['--image', 'NGINX'], {}, 'expected an image such as nginx'],
  ['a time that is none', ['--timeout', 'soon'], {}, 'expected seconds'],
])('one clear line for %s', async (_, args, env, said) => {
  await using folder = await temporaryDirectory()
  const told = await outport(['doctor', ...args], { OUTPORT_DATA: folder.path, ...env })
  expect([told.code, told.stdout]).toEqual([1, ''])
  expect(told.stderr.split('\n')[0]).toContain(said)
})
