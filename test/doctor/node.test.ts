import { chmod, chown, mkdir, readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { getuid } from 'node:process'
import { describe, expect, test } from 'vitest'
import { type DataFolder, dataMistakes } from '../../src/doctor/node/data-folder.ts'
import { upstreamMistakes } from '../../src/doctor/node/limits.ts'
import { startSite } from '../faults/support/site.ts'
import { createAuthority } from '../support/certificates.ts'
import { type Edge, startEdge } from '../support/edge.ts'
import { mirrorPolicy } from '../support/mirror-policy.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { diagnose, examine, examineNode } from './support/diagnosis.ts'
import { image, startDoctorSite } from './support/sites.ts'

const nowhere = join(import.meta.dirname, 'nowhere')
const alone = ['--root', nowhere]

/** As the node was told. */
const environmentOf = (
  { data, policies }: Pick<Edge, 'data' | 'policies'>,
  more: Record<string, string> = {},
) => ({
  OUTPORT_DATA: data,
  OUTPORT_POLICIES: policies,
  ...more,
})

const asNobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']

test('a node that is well is asked for what it has, and fetches nothing', { timeout: 60_000 }, async () => {
  await using site = await startDoctorSite()
  site.upstream.clear()
  const before = await readdir(site.edge.data, { recursive: true })
  const told = await diagnose(alone, environmentOf(site.edge))
  expect(told).toMatchObject({ code: 0, mistakes: [], notes: [], stderr: '' })
  expect(told.lines[0]).toEqual({
    kind: 'door',
    door: site.edge.url,
    face: 'registry',
    image: 'docker.io/library/app:1',
  })
  expect(Object.values(told.clients)).toEqual(Array(7).fill('ok'))
  expect(told.lines.at(-1)).toEqual({ kind: 'end', mistakes: 0, notes: 0 })
  expect(site.upstream.requests).toEqual([])
  expect((await readdir(site.edge.data, { recursive: true })).sort()).toEqual(before.sort())
})

test('an https door with an authority of its own, and a mirror door', async () => {
  await using folder = await temporaryDirectory()
  const files = { cert: join(folder.path, 'cert.pem'), key: join(folder.path, 'key.pem') }
  const authority = createAuthority('of the site')
  const notAfter = new Date(Date.now() + 300 * 86_400_000)
  const issued = authority.issue({ names: ['edge.example'], notAfter })
  await writeFile(files.cert, `${issued.cert}${authority.ca}`)
  await writeFile(files.key, issued.key)
  const env = {
    OUTPORT_LISTEN: 'https://127.0.0.1:0',
    OUTPORT_MIRROR_LISTEN: '127.0.0.1:0',
    OUTPORT_TLS_CERT: files.cert,
    OUTPORT_TLS_KEY: files.key,
  }
  await using edge = await startEdge({
    policies: { 'mirror.yaml': mirrorPolicy({ url: 'http://127.0.0.1:1' }) },
    env,
  })
  const told = await diagnose(alone, environmentOf(edge, env))
  expect(told).toMatchObject({ code: 0, mistakes: [], notes: ['not-found'] })
  expect(told.lines.filter(({ kind }) => kind === 'door')).toEqual([
    { kind: 'door', door: `https://edge.example:${edge.port}`, face: 'registry' },
    { kind: 'door', door: edge.mirrorUrl, face: 'mirror' },
  ])
})

test('an upstream that is down, as the node says it here and at its door', { timeout: 90_000 }, async () => {
  await using site = await startDoctorSite()
  await site.upstream.stop()
  const askedInVain = async (telling: () => Promise<{ mistakes: string[] }>) => {
    await site.askTag('other')
    return (await telling()).mistakes
  }
  const only = { only: ['podman' as const] }
  await expect
    .poll(() => askedInVain(() => examine(site.edge.url, only)), { timeout: 30_000 })
    .toEqual(['upstream-down'])
  const here = () => examineNode(environmentOf(site.edge), only)
  await expect.poll(() => askedInVain(here), { timeout: 30_000 }).toEqual(['upstream-down'])
})

test('an upstream that refuses everything', async () => {
  await using site = await startSite({
    upstream: { auth: { service: 'registry', users: { alice: 'right' } } },
  })
  await site.askTag('1')
  const told = await diagnose([...alone, '--client', 'podman'], environmentOf(site.edge))
  expect(told).toMatchObject({ code: 1, mistakes: ['upstream-refuses'] })
})

test('an upstream that says 429', async () => {
  await using site = await startSite()
  site.upstream.addImage('library/app', '1', image)
  site.upstream.fault({ on: { kind: 'manifest' }, status: 429, headers: { 'retry-after': '600' } })
  await site.askTag('1')
  const told = await diagnose([...alone, '--client', 'podman'], environmentOf(site.edge))
  expect(told).toMatchObject({ code: 1, mistakes: ['upstream-limited'] })
})

describe('settings and policies', { timeout: 60_000 }, () => {
  test.each([
    ['a name that is none', { OUTPORT_LISTENS: ':5000' }],
    ['a value that is none', { OUTPORT_LISTEN: 'everywhere' }],
    ['what makes no sense together', { OUTPORT_PUBLIC_URL: 'http://localhost:5000' }],
  ])('%s', async (_, env) => {
    await using edge = await startEdge({
      policies: { 'mirror.yaml': mirrorPolicy({ url: 'http://127.0.0.1:1' }) },
    })
    const told = await diagnose(alone, environmentOf(edge, env as never))
    expect(told).toMatchObject({ code: 1, mistakes: ['settings-wrong'], stderr: '' })
  })

  test('policies that a running node does not follow', async () => {
    await using edge = await startEdge({
      policies: { 'mirror.yaml': mirrorPolicy({ url: 'http://127.0.0.1:1' }) },
    })
    await writeFile(join(edge.policies, 'more.yaml'), 'kind: project\nname: Wrong\n')
    const told = await diagnose(alone, environmentOf(edge))
    expect(told).toMatchObject({ code: 1, mistakes: ['policies-wrong'] })
    expect(told.lines[0]?.what).toContain('more.yaml:2')
  })
})

describe('the data folder', { timeout: 60_000 }, () => {
  const policies = { 'mirror.yaml': mirrorPolicy({ url: 'http://127.0.0.1:1' }) }

  test('no node runs on it', async () => {
    await using folder = await temporaryDirectory()
    const told = await diagnose(alone, { OUTPORT_DATA: join(folder.path, 'data') })
    expect(told).toMatchObject({ code: 1, mistakes: ['node-not-running'] })
    expect(await readdir(folder.path)).toEqual([])
  })

  test('a node that hangs', async () => {
    await using edge = await startEdge({ policies })
    process.kill(edge.pid, 'SIGSTOP')
    try {
      const told = await diagnose(alone, environmentOf(edge))
      expect(told).toMatchObject({ code: 1, mistakes: ['node-hangs'] })
    } finally {
      process.kill(edge.pid, 'SIGCONT')
    }
  })

  test('a path that is too long for its socket', async () => {
    await using folder = await temporaryDirectory()
    await using edge = await startEdge({ policies, data: join(folder.path, 'x'.repeat(100)) })
    const told = await diagnose(alone, environmentOf(edge, { OUTPORT_LISTEN: edge.url }))
    expect(told).toMatchObject({ code: 1, mistakes: ['socket-name-long'] })
    expect(Object.values(told.clients)).toEqual(Array(7).fill('ok'))
  })

  test('it is a file', async () => {
    await using folder = await temporaryDirectory()
    await writeFile(join(folder.path, 'data'), '')
    const told = await diagnose(alone, { OUTPORT_DATA: join(folder.path, 'data') })
    expect(told).toMatchObject({ code: 1, mistakes: ['data-unusable'] })
  })

  describe.skipIf(getuid?.() !== 0)('as another user', () => {
    test('it belongs to somebody else', async () => {
      await using edge = await startEdge({ policies })
      await chmod(dirname(edge.data), 0o755)
      const told = await diagnose(alone, environmentOf(edge), asNobody)
      expect(told).toMatchObject({ code: 1, mistakes: ['data-owner'] })
    })

    test('it may not be written to', async () => {
      await using folder = await temporaryDirectory()
      const data = join(folder.path, 'data')
      await mkdir(data)
      await chown(data, 65534, 65534)
      await chmod(data, 0o500)
      await chmod(folder.path, 0o755)
      const told = await diagnose(alone, { OUTPORT_DATA: data }, asNobody)
      expect(told).toMatchObject({ code: 1, mistakes: ['data-unusable', 'node-not-running'] })
    })
  })

  const good: DataFolder = { path: '/data', kind: 'folder', owner: 1000, freeBytes: 1e12, freeFiles: 1e6 }
  test.each<[string, Partial<DataFolder>, number, string[]]>([
    ['all is well', {}, 1000, []],
    ['for root too', {}, 0, []],
    ['no room', { freeBytes: 1e6 }, 1000, ['data-full']],
    ['no inodes', { freeFiles: 3 }, 1000, ['data-full']],
    ['a file system that is read-only', { refused: 'the file system is read-only' }, 1000, ['data-unusable']],
    ['once run as root', { databaseOwner: 0 }, 1000, ['data-owner']],
    ['another user', {}, 1001, ['data-owner']],
  ])('%s', (_, facts, uid, codes) => {
    expect(dataMistakes({ ...good, ...facts }, uid, '/data/admin.sock').map(({ code }) => code)).toEqual(
      codes,
    )
  })
})

describe('what the node counts of its upstreams', () => {
  const now = Date.parse('2026-01-01T00:00:00Z')
  const later = now / 1000 + 60
  test.each([
    [
      '429',
      `outport_upstream_limited_until_timestamp_seconds{registry="hub",kind="manifest"} ${later}`,
      ['upstream-limited'],
    ],
    [
      '429 that is over',
      `outport_upstream_limited_until_timestamp_seconds{registry="hub",kind="manifest"} ${later - 61}`,
      [],
    ],
    [
      'few requests left',
      'outport_upstream_budget_limit{registry="hub",kind="manifest"} 100\noutport_upstream_budget_remaining{registry="hub",kind="manifest"} 9',
      ['upstream-budget-low'],
    ],
    [
      'enough requests left',
      'outport_upstream_budget_limit{registry="hub",kind="manifest"} 100\noutport_upstream_budget_remaining{registry="hub",kind="manifest"} 11',
      [],
    ],
    [
      'nothing but 401',
      'outport_upstream_requests_total{registry="hub",kind="manifest",outcome="refused"} 3',
      ['upstream-refuses'],
    ],
    [
      '401 for some',
      'outport_upstream_requests_total{registry="hub",kind="manifest",outcome="refused"} 3\noutport_upstream_requests_total{registry="hub",kind="manifest",outcome="ok"} 1',
      [],
    ],
  ])('%s', (_, exposition, codes) => {
    expect(upstreamMistakes(exposition, now).map(({ code }) => code)).toEqual(codes)
  })
})
