import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { settings } from '../src/config/settings.ts'
import { createMetrics } from '../src/metrics.ts'
import { loadPolicies } from '../src/policy/load.ts'
import { buildImage } from './support/images.ts'
import { temporaryDirectory } from './support/temporary.ts'
import { addToRegistryData } from './transfer/support/registry-data.ts'
import { hostedSite } from './transfer/support/site.ts'

const root = join(import.meta.dirname, '..')
const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
const readme = await readFile(join(root, 'README.md'), 'utf8')
const blocks = [...readme.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language = '', text = '']) => ({
  language,
  text,
}))
const commands = blocks
  .filter(({ language }) => language === 'sh')
  .flatMap(({ text }) => text.trim().split('\n'))

/** A newcomer's: what the gate sets for the tests is no setting of the program. */
const plain = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('OUTPORT_')))

function npm(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  return promisify(execFile)('npm', args, { cwd: root, env: { ...plain, ...env }, timeout: 120_000 })
}

/** How each command of the page is held: run here, by another test, or by the gate in a fresh clone. */
const held: Record<string, () => Promise<void>> = {
  'npm ci && npm start': startsAndStops,
  'npm run demo': async () => {
    const { stdout } = await npm(['run', 'demo'])
    expect(stdout).toMatch(/1\.00/)
  },
  'npm run outport -- policy check': async () => {
    expect((await npm(['run', 'outport', '--', 'policy', 'check'])).stdout).toContain('good: 6 projects')
  },
  'npm run outport -- tls init edge.example': async () => {
    await using folder = await temporaryDirectory()
    const made = await npm(['run', 'outport', '--', 'tls', 'init', 'edge.example'], {
      OUTPORT_DATA: folder.path,
    })
    expect(made.stdout).toContain('/etc/docker/certs.d/edge.example:5443/ca.crt')
  },
  'npm run package': () => inFile('test/support/packed.ts', "'package'"),
  [`npm install --global outport-${version}.tgz`]: () => inFile('test/packed/packed.test.ts', "'--global'"),
  [`npm install --ignore-scripts outport-${version}.tgz`]: () =>
    inFile('test/support/packed.ts', "'install', '--ignore-scripts'"),
  'cp deploy/systemd/outport.service /etc/systemd/system/': () =>
    inFile('test/deploy/systemd.test.ts', 'deploy/systemd/outport.service'),
  'systemctl enable --now outport': () => inFile('deploy/systemd/outport.service', 'WantedBy='),
  'docker build --file node_modules/outport/deploy/docker/Dockerfile --tag outport .': () =>
    inFile('test/deploy/docker.test.ts', 'node_modules/outport/deploy/docker/Dockerfile'),
  'docker compose --file node_modules/outport/deploy/docker/compose.yaml up --detach': () =>
    inFile('test/deploy/docker.test.ts', 'compose.yaml'),
  'outport backup /srv/outport-backup': () => inFile('test/upgrades/backup.test.ts', "'backup'"),
  'npm run outport -- import /var/lib/registry --into team': transfers,
  'npm run outport -- export --to images.tar team/app:1.0': transfers,
  'npm run outport -- import images.tar': transfers,
  'npm ci && npm test': () => inGate(['npm ci', 'npm test']),
  'npm run check': () => inGate(['npm run check']),
  'npm run bench -- --help': async () => {
    expect((await npm(['run', 'bench', '--', '--help'])).stdout).toContain('hot-blob')
  },
}

/** What needs an installation, a daemon or a system of its own is run by that file. */
async function inFile(path: string, part: string): Promise<void> {
  expect(await readFile(join(root, path), 'utf8')).toContain(part)
}

async function inGate(parts: readonly string[]): Promise<void> {
  const gate = (
    await Promise.all(['run', 'install'].map((file) => readFile(join(root, '.ci', file), 'utf8')))
  ).join()
  for (const part of parts) expect(gate).toContain(part)
}

async function startsAndStops(): Promise<void> {
  await using folder = await temporaryDirectory()
  const env = { ...plain, OUTPORT_LISTEN: '127.0.0.1:0', OUTPORT_DATA: join(folder.path, 'data') }
  const child = spawn('npm', ['start'], {
    cwd: root,
    env,
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const exited = once(child, 'exit')
  let said = ''
  for await (const chunk of child.stderr) {
    said += chunk
    if (said.includes('daemon.json')) break
  }
  expect(said).toMatch(/outport listens on http:\/\/127\.0\.0\.1:\d+\nmirrors docker\.io, ghcr\.io/)
  process.kill(-Number(child.pid), 'SIGTERM')
  await exited
}

let transferred: Promise<void> | undefined

/** All three of them, one after another, with a registry's folder that is there. */
function transfers(): Promise<void> {
  transferred ??= transfer()
  return transferred
}

async function transfer(): Promise<void> {
  await using site = await hostedSite()
  const registry = join(site.scratch, 'registry')
  const tar = join(site.scratch, 'images.tar')
  await addToRegistryData(registry, 'app', buildImage({ layers: [1000] }), '1.0')
  for (const args of [
    ['import', registry, '--into', 'team'],
    ['export', '--to', tar, 'team/app:1.0'],
    ['import', tar],
  ])
    expect(await site.run(...args)).toMatchObject({ code: 0, stderr: '' })
}

describe('the README', () => {
  test('has no command that nobody runs', () => {
    expect(commands.length).toBeGreaterThan(4)
    expect(commands.filter((command) => !(command in held))).toEqual([])
  })

  test.each(commands)('%s', { timeout: 150_000 }, async (command) => {
    await held[command]?.()
  })

  test('lists every setting as the program knows it', () => {
    for (const { name, meaning, default: value } of settings) {
      expect(readme).toContain(`| \`${name}\` | ${meaning.replaceAll('|', '\\|')} | ${value} |`)
    }
    const rows = [...readme.matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, name]) => name)
    expect(rows).toEqual(settings.map(({ name }) => name))
  })

  test('names metrics that there are', async () => {
    const named = [...readme.matchAll(/`(outport_[a-z_]+)`/g)].map(([, name]) => name)
    const shown = await createMetrics().text()
    expect(named.length).toBeGreaterThan(8)
    expect(named.filter((name) => !shown.includes(`# HELP ${name} `))).toEqual([])
  })

  test('shows client settings that stand in deploy/clients, where clients are run with them', async () => {
    const names = [
      'daemon.json',
      'certs.d/_default/hosts.toml',
      'containerd-2.toml',
      'containerd-1.toml',
      'registries.conf',
      'k3s-registries.yaml',
    ]
    const files = await Promise.all(names.map((name) => readFile(join(root, 'deploy/clients', name), 'utf8')))
    const shown = blocks.filter(({ text, language }) => language !== 'sh' && !text.includes('kind: '))
    expect(shown.length).toBe(names.length)
    for (const { text } of shown) expect(files.some((file) => file.includes(text.trimEnd()))).toBe(true)
  })

  test('shows policies that are right', async () => {
    await using folder = await temporaryDirectory()
    const shown = blocks.filter(({ text }) => text.includes('kind: '))
    expect(shown.length).toBeGreaterThan(0)
    for (const { text } of shown) {
      await writeFile(join(folder.path, 'readme.yaml'), text)
      const loaded = await loadPolicies({
        folder: folder.path,
        secrets: { env: () => 'secret', file: async () => 'secret' },
        surroundings: { mirrorListen: 'off', mirror: { name: 'docker.io', set: false } },
      })
      expect(loaded).not.toHaveProperty('problems')
    }
  })

  test('names files that are there', async () => {
    const links = [...readme.matchAll(/\]\(([^)]+)\)/g)].map(([, path = '']) => path)
    await Promise.all(links.map((path) => access(join(root, path))))
  })
})
