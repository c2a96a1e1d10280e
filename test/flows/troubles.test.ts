import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { startSite } from '../faults/support/site.ts'
import { createAuthority } from '../support/certificates.ts'
import { type Edge, mirrorPolicy, startEdge } from '../support/edge.ts'
import { fetchBlob } from '../support/fetch-blob.ts'
import { buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { describeWith } from '../support/tools.ts'
import { startUpstream } from '../support/upstream.ts'

interface Ready {
  status: string
  degraded?: { code: string; since: string; about?: string; message: string }[]
}

async function readyOf({ url }: Edge): Promise<Ready> {
  const answer = await fetch(`${url}/readyz`)
  expect(answer.status).toBe(200)
  return (await answer.json()) as Ready
}
const codesOf = async (edge: Edge) => (await readyOf(edge)).degraded?.map(({ code }) => code) ?? []

test('policies that are wrong are a trouble until they are right again', async () => {
  await using site = await startSite()
  const file = join(site.edge.policies, 'wrong.yaml')
  await writeFile(file, 'kind: nonsense')
  await expect.poll(() => codesOf(site.edge), { timeout: 20_000 }).toEqual(['policies-wrong'])
  const [trouble] = (await readyOf(site.edge)).degraded ?? []
  expect(trouble?.message).toBe('the policies are wrong in one place; the last good ones go on')
  expect(Math.abs(Date.now() - Date.parse(trouble?.since ?? ''))).toBeLessThan(60_000)
  expect(await site.edge.metrics('outport_policies_ok')).toBe(0)
  expect(await site.edge.metrics('outport_trouble', { code: 'policies-wrong' })).toBe(1)
  expect(await readyOf(site.edge)).toMatchObject({ degraded: [{ since: trouble?.since }] })

  await writeFile(file, '')
  await expect.poll(() => codesOf(site.edge), { timeout: 20_000 }).toEqual([])
  expect(await site.edge.metrics('outport_policies_ok')).toBe(1)
  await site.edge.logged(({ msg }) => msg?.startsWith('no more: the policies are wrong') === true)
})

test('an upstream is down from when it was found so until it answers, and not only while it is left alone', async () => {
  await using site = await startSite()
  const gone = site.upstream.fault({ on: () => true, drop: true })
  const codesWhenAsked = async () => {
    await site.askTag('1')
    return codesOf(site.edge)
  }
  await expect.poll(codesWhenAsked, { timeout: 20_000 }).toEqual(['upstream-down'])
  const before = await readyOf(site.edge)
  await expect.poll(() => site.edge.metrics('outport_upstream_breaker_open'), { timeout: 20_000 }).toBe(0)
  expect(await readyOf(site.edge)).toEqual(before)
  expect(await site.edge.metrics('outport_upstream_down')).toBe(1)

  gone[Symbol.dispose]()
  await expect.poll(codesWhenAsked, { timeout: 20_000 }).toEqual([])
})

test('a cache over its budget in which everything is pinned is a trouble', async () => {
  const image = buildImage({ layers: [3_000_000], compression: 'none' })
  const cache = { kind: 'cache', budget: '10MiB' }
  await using site = await startSite({ policy: { more: [cache] }, image })
  await pull(site.edge.url, 'library/app', '1')
  expect(await codesOf(site.edge)).toEqual([])
  const full = { ...cache, budget: '1MiB', pins: ['docker.io/**'] }
  await writeFile(join(site.edge.policies, 'mirror.yaml'), mirrorPolicy(site.upstream, { more: [full] }))
  await expect.poll(() => codesOf(site.edge), { timeout: 20_000 }).toEqual(['cache-full'])
  expect(await site.edge.metrics('outport_cache_limit_bytes')).toBe(1024 * 1024)
  expect(await site.edge.metrics('outport_cache_bytes')).toBeGreaterThan(3_000_000)
})

describe('a certificate', () => {
  const dayMs = 86_400_000
  test.each([
    ['certificate-ended', -1, 0],
    ['certificate-ending-soon', 6, 7],
    ['certificate-ending', 20, 30],
  ])('is a trouble: %s', async (code, days, warned) => {
    await using folder = await temporaryDirectory()
    const authority = createAuthority()
    const notAfter = new Date(Math.floor((Date.now() + days * dayMs) / 1000) * 1000)
    const issued = authority.issue({
      names: ['edge.corp'],
      notBefore: new Date(Date.now() - 90 * dayMs),
      notAfter,
    })
    await writeFile(join(folder.path, 'a.pem'), issued.cert)
    await writeFile(join(folder.path, 'a.key'), issued.key)
    await using upstream = await startUpstream()
    await using edge = await startEdge({
      policies: { 'site.yaml': mirrorPolicy(upstream) },
      env: {
        OUTPORT_LISTEN: 'http://127.0.0.1:0',
        OUTPORT_MIRROR_LISTEN: 'https://127.0.0.1:0',
        OUTPORT_TLS_CERT: join(folder.path, 'a.pem'),
        OUTPORT_TLS_KEY: join(folder.path, 'a.key'),
      },
    })
    const since = new Date(notAfter.getTime() - warned * dayMs).toISOString()
    const { degraded } = await readyOf(edge)
    expect(degraded).toEqual([
      { code, since, about: 'edge.corp', message: expect.stringContaining(notAfter.toISOString()) },
    ])
    expect(JSON.stringify(degraded)).not.toContain(folder.path)
    const end = await edge.metrics('outport_certificate_not_after_timestamp_seconds', { name: 'edge.corp' })
    expect(end).toBe(notAfter.getTime() / 1000)

    await writeFile(join(folder.path, 'a.pem'), 'nonsense')
    process.kill(edge.pid, 'SIGHUP')
    await expect.poll(() => codesOf(edge)).toContain('certificates-not-loaded')
  })
})

// Faketime itself would stand between the node and its signals.
const asInThePast =
  'exec env LD_PRELOAD=$(faketime -m -f -3h printenv LD_PRELOAD) FAKETIME=-3h FAKETIME_DONT_FAKE_MONOTONIC=1 "$@"'

describeWith(['faketime'], 'faketime: a clock that is behind', () => {
  test('is noticed by what several upstreams say', async () => {
    await using hub = await startUpstream()
    await using other = await startUpstream()
    const more = [
      { kind: 'registry', name: 'other', type: 'docker-registry', url: other.url },
      { kind: 'project', name: 'other', proxy: 'other', public: true },
    ]
    await using edge = await startEdge({
      policies: { 'site.yaml': mirrorPolicy(hub, { more }) },
      through: ['sh', '-c', asInThePast, 'sh'],
      env: { OUTPORT_MIRROR_LISTEN: 'off' },
    })
    await fetchBlob(`${edge.url}/v2/library/app/manifests/1`)
    expect(await codesOf(edge)).toEqual([])
    await fetchBlob(`${edge.url}/v2/other/app/manifests/1`)
    expect(await readyOf(edge)).toMatchObject({
      degraded: [{ code: 'clock-wrong', message: 'the clock is 3 h behind what several upstreams say' }],
    })
    expect(await edge.metrics('outport_trouble', { code: 'clock-wrong' })).toBe(1)
  })
})
