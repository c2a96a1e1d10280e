import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { clientFiles, settingsNames } from '../../src/doctor/settings/client-settings.ts'
import { createAuthority } from '../support/certificates.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { examine } from './support/diagnosis.ts'
import { type Front, startFront } from './support/front.ts'

const authority = createAuthority()
const dayMs = 24 * 60 * 60 * 1000
const ago = (days: number) => new Date(Date.now() - days * dayMs)

interface Planted {
  names?: string[]
  notBefore?: Date
  notAfter?: Date
  date?: Date
}

function startDoor({ names = ['127.0.0.1'], date, ...validity }: Planted = {}): Promise<Front> {
  return startFront({
    tls: authority.issue({ names, ...validity }),
    change: ({ headers }, { url }) => ({
      status: url === '/v2/' ? 200 : 404,
      headers: {
        ...headers,
        'docker-distribution-api-version': 'registry/2.0',
        ...(date && { date: date.toUTCString() }),
      },
      body: Buffer.from('{}'),
    }),
  })
}

describe('for everybody', () => {
  test.each<[string, Planted, string[]]>([
    ['a certificate for another name', { names: ['edge.example'] }, ['certificate-name']],
    ['a certificate that has ended', { notBefore: ago(9), notAfter: ago(2) }, ['certificate-ended']],
    [
      'a certificate that is not yet valid',
      { notBefore: ago(-2), notAfter: ago(-9) },
      ['certificate-not-yet-valid'],
    ],
    [
      'a certificate that is good by the clock of the node',
      { notBefore: ago(9), notAfter: ago(2), date: ago(4) },
      ['clock-wrong'],
    ],
  ])('%s', async (_, planted, codes) => {
    await using door = await startDoor(planted)
    const told = await examine(door.url, { authorities: [authority.ca] })
    expect(told).toMatchObject({ mistakes: codes, clients: {} })
  })

  test('a certificate of an authority that every program trusts', async () => {
    await using door = await startDoor()
    expect((await examine(door.url, { authorities: [authority.ca] })).mistakes).toEqual([])
  })
})

const everybody = ['docker-old', 'docker', 'containerd-1', 'containerd', 'k3s', 'podman', 'crane']

/** A machine with these files, texts by path. */
async function machineWith(files: Record<string, string>) {
  const folder = await temporaryDirectory()
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder.path, path)), { recursive: true })
    await writeFile(join(folder.path, path), text)
  }
  return folder
}

test('an authority that no client is told of: each wants it elsewhere', async () => {
  await using door = await startDoor()
  const told = await examine(door.url)
  expect(told.mistakes).toEqual(['certificate-authority'])
  expect(Object.keys(told.clients)).toEqual(everybody)
  const advice = Object.fromEntries(told.lines.map(({ client, advice }) => [client, advice]))
  expect(advice.docker).toContain(`/etc/docker/certs.d/${door.host}/ca.crt`)
  expect(advice.podman).toContain(`/etc/containers/certs.d/${door.host}/ca.crt`)
  expect(advice.containerd).toContain('hosts.toml')
  expect(advice.k3s).toContain('registries.yaml')
})

test('an authority that the whole machine trusts', async () => {
  await using door = await startDoor()
  await using machine = await machineWith({ 'etc/ssl/certs/ca-certificates.crt': authority.ca })
  expect((await examine(door.url, { root: machine.path })).mistakes).toEqual([])
})

test.each(settingsNames)('an authority where the printed settings for %s put it', async (name) => {
  await using door = await startDoor()
  const files = clientFiles(name, {
    registry: door.url,
    mirror: door.url,
    hasDefaultMirror: true,
    mirrors: [{ registry: 'docker.io', path: '', project: 'docker.io' }],
    authority: authority.ca,
  })
  await using machine = await machineWith(Object.fromEntries(files.map(({ path, text }) => [path, text])))
  const told = await examine(door.url, { root: machine.path })
  expect(told.clients[name]).toBe('ok')
  expect(told.clients.crane).toBe('certificate-authority')
  expect(told.mistakes).toEqual(['certificate-authority'])
})

test.each([
  ['a folder without the port', '127.0.0.1', 'ca.crt'],
  ['a file that does not end in .crt', undefined, 'ca.pem'],
  ['the folder of all', '_default', 'ca.crt'],
])('an authority in the wrong place: %s', async (_, folder, file) => {
  await using door = await startDoor()
  const path = `etc/docker/certs.d/${folder ?? door.host}/${file}`
  await using machine = await machineWith({ [path]: authority.ca })
  const told = await examine(door.url, { root: machine.path, only: ['docker', 'docker-old', 'podman'] })
  expect(told.mistakes).toEqual(['authority-misplaced'])
  expect(told.lines.find(({ client }) => client === 'docker')?.what).toContain(`/${path}`)
})

test('an authority that hosts.toml names and that is not there', async () => {
  await using door = await startDoor()
  const hosts = `[host."${door.url}"]\n  ca = "outport-ca.pem"\n`
  const config =
    'version = 3\n[plugins."io.containerd.cri.v1.images".registry]\nconfig_path = "/etc/containerd/certs.d"\n'
  await using machine = await machineWith({
    'etc/containerd/certs.d/_default/hosts.toml': hosts,
    'etc/containerd/config.toml': config,
  })
  const told = await examine(door.url, { root: machine.path, only: ['containerd'] })
  expect(told.mistakes).toEqual(['authority-misplaced'])
})

test('another authority than that of the door', async () => {
  await using door = await startDoor()
  await using machine = await machineWith({
    [`etc/containers/certs.d/${door.host}/ca.crt`]: createAuthority('somebody else').ca,
  })
  const told = await examine(door.url, { root: machine.path, only: ['podman'] })
  expect(told.mistakes).toEqual(['certificate-authority'])
})
