import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises'
import { isBuiltin } from 'node:module'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAuthority } from '../support/certificates.ts'
import { type Edge, mirrorPolicies, startEdge } from '../support/edge.ts'
import { buildImage } from '../support/images.ts'
import { type Installed, installPacked, machineEnvironment, npm } from '../support/packed.ts'
import { pull } from '../support/pull.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { startUpstream } from '../support/upstream.ts'
import { startProxy } from '../upstream/proxy.ts'

const root = join(import.meta.dirname, '../..')
const { version, dependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
const image = buildImage({ layers: [5000, 400_000], seed: 'packed' })
let installed: Installed

beforeAll(async () => {
  installed = await installPacked()
}, 300_000)
afterAll(() => installed?.[Symbol.asyncDispose]())

describe('the packed file', () => {
  test('holds what runs and what an operator needs, and no more', async () => {
    const { stdout } = await promisify(execFile)('tar', ['-tzf', installed.tarball])
    const files = stdout.trim().split('\n')
    const tops = new Set(files.map((file) => file.split('/')[1]))
    expect([...tops].sort()).toEqual(
      ['README.md', 'bin', 'deploy', 'dist', 'outport.js', 'package.json', 'policies'].sort(),
    )
    expect(files).toEqual(
      expect.arrayContaining(['package/policies/mirrors.yaml', 'package/deploy/clients/daemon.json']),
    )
  })

  test('imports nothing at run time that is not installed with it', async () => {
    const dist = join(installed.folder, 'node_modules/outport/dist')
    const scripts = (await readdir(dist)).filter((name) => name.endsWith('.js'))
    const texts = await Promise.all(scripts.map((name) => readFile(join(dist, name), 'utf8')))
    const imported = texts.flatMap((text) => [
      ...text.matchAll(/(?:from|import|import\()"(@?[a-z][\w./-]*)"/g),
    ])
    const packages = new Set(imported.map(([, name = '']) => name).filter((name) => !isBuiltin(name)))
    expect([...packages]).toEqual(Object.keys(dependencies))
  })

  test('says under which terms each library in it is passed on', async () => {
    const notices = await readFile(
      join(installed.folder, 'node_modules/outport/dist/THIRD-PARTY-NOTICES'),
      'utf8',
    )
    for (const name of ['hono', 'undici', 'zod', 'kysely', 'pino'])
      expect(notices).toMatch(new RegExp(`^# ${name} \\d\\S* \\(MIT\\)\n\n.*copyright`, 'ims'))
  })
})

describe('installed in an empty folder, on the machine’s own Node', () => {
  test('npx runs it', async () => {
    const run = (...args: string[]) =>
      promisify(execFile)('npx', ['outport', ...args], { cwd: installed.folder, env: machineEnvironment() })
    expect((await run('--version')).stdout).toBe(`${version}\n`)
    expect((await run('policy', 'check')).stdout).toBe('good: 6 projects, 6 registries\n')
  })

  test('it serves on the policies that come along', async () => {
    const authority = createAuthority()
    await using upstream = await startUpstream({ tls: authority.issue({ names: ['registry-1.docker.io'] }) })
    await using proxy = await startProxy(Number(new URL(upstream.url).port))
    await using folder = await temporaryDirectory()
    upstream.addImage('library/app', '1', image)
    await writeFile(join(folder.path, 'ca.pem'), authority.ca)
    await using edge = await startInstalled(folder.path, {
      HTTPS_PROXY: proxy.url,
      SSL_CERT_FILE: join(folder.path, 'ca.pem'),
    })
    await pull(edge.url, 'library/app', '1')
    expect(proxy.asked.map(({ target }) => target)).toContain('registry-1.docker.io:443')
    const { folder: read } = await edge.logged(({ msg }) => msg === 'policies read')
    expect(read).toBe(join(installed.folder, 'node_modules/outport/policies'))
  })

  test('a folder with policies of its own comes first', async () => {
    await using upstream = await startUpstream()
    await using folder = await temporaryDirectory()
    upstream.addImage('library/app', '1', image)
    await mkdir(join(folder.path, 'policies'))
    for (const [name, text] of Object.entries(mirrorPolicies(upstream)))
      await writeFile(join(folder.path, 'policies', name), text)
    await using edge = await startInstalled(folder.path)
    await pull(edge.url, 'library/app', '1')
    expect(upstream.count({ kind: 'blob' })).toBeGreaterThan(0)
  })

  test('the process that was started is the node itself: it takes signals, and its exit code is told', async () => {
    await using folder = await temporaryDirectory()
    await using edge = await startInstalled(folder.path)
    expect(await readlink(`/proc/${edge.pid}/exe`)).toMatch(/node_modules\/node-linux-\w+\/bin\/node$/)
    expect(await edge.stop()).toEqual({ code: 0, signal: null })
    const env = { ...machineEnvironment(), OUTPORT_LISTEN: 'nonsense' }
    const refused = promisify(execFile)(installed.command, ['serve'], { env })
    await expect(refused).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^outport: OUTPORT_LISTEN/),
    })
  })

  test('installed for the whole machine it finds its Node as well', { timeout: 300_000 }, async () => {
    await using folder = await temporaryDirectory()
    const global = ['install', '--global', '--prefix', folder.path, '--ignore-scripts', '--prefer-offline']
    await npm(folder.path, [...global, '--no-audit', '--no-fund', installed.tarball])
    const command = join(folder.path, 'bin/outport')
    const { stdout } = await promisify(execFile)(command, ['--version'], { env: machineEnvironment() })
    expect(stdout).toBe(`${version}\n`)
  })
})

function startInstalled(directory: string, env: Record<string, string> = {}): Promise<Edge> {
  const { command } = installed
  return startEdge({ policies: null, command, directory, env: { ...machineEnvironment(), ...env } })
}
