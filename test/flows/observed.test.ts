import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { layerOf, neverFresh, repository, startSite } from '../faults/support/site.ts'
import { mirrorPolicy, startEdge } from '../support/edge.ts'
import { fetchBlob } from '../support/fetch-blob.ts'
import { buildImage } from '../support/images.ts'
import { startUpstream } from '../support/upstream.ts'

const image = buildImage({ layers: [2000] })

describe('the id of a request', () => {
  test("is its caller's, which goes on to the registry, and stands in the log of both", async () => {
    await using site = await startSite({ image, env: { OUTPORT_LOG_LEVEL: 'upstream=debug,fill=trace' } })
    const id = 'Caller:1+a=b@c.d_e-f'
    const answer = await site.askBlob(layerOf(image), { headers: { 'x-request-id': id } })
    expect([answer.status, answer.headers['x-request-id']]).toEqual([200, id])
    const [asked] = site.upstream.requests.filter(({ kind }) => kind === 'blob')
    expect(asked?.headers['x-request-id']).toBe(id)
    await site.edge.logged((line) => line.msg === 'request' && line.id === id && line.part === 'request')
    await site.edge.logged((line) => line.msg === 'upstream' && line.id === id && line.part === 'upstream')
    await site.edge.logged((line) => line.msg === 'fill started' && line.id === id)
  })

  test.each([
    '',
    'a b',
    'a'.repeat(129),
    '<script>',
    'a;b',
    '../x',
    'ä',
    '{"a":1}',
  ])('is ours instead of %j', async (id) => {
    await using site = await startSite({ image })
    const answer = await site.askBlob(layerOf(image), { headers: { 'x-request-id': id } })
    expect(answer.headers['x-request-id']).toMatch(/^[0-9a-f]{12}-[0-9a-z]+$/)
    expect(site.edge.output()).not.toContain(id === '' ? '"id":""' : id)
  })

  test('goes to no host that a registry sends us to', async () => {
    await using storage = await startUpstream()
    await using site = await startSite({
      policy: () => ({ registry: { redirectHosts: [new URL(storage.url).host] } }),
    })
    site.upstream.addImage(repository, '1', image)
    storage.addImage(repository, '1', image)
    const { digest } = layerOf(image)
    site.upstream.fault({
      on: { kind: 'blob' },
      redirect: `${storage.url}/v2/${repository}/blobs/${digest}`,
    })
    await site.askTag('1')
    const answer = await site.ask(`blobs/${digest}`, { headers: { 'x-request-id': 'mine' } })
    expect(answer.status).toBe(200)
    expect(storage.requests.map(({ headers }) => headers['x-request-id'])).toEqual([undefined])
  })
})

describe('the access log', () => {
  test('can be of errors alone', async () => {
    await using site = await startSite({ image, env: { OUTPORT_ACCESS_LOG: 'errors' } })
    for (let count = 0; count < 20; count++) await site.askTag('1')
    await site.askTag('none')
    const line = await site.edge.logged(({ msg }) => msg === 'request')
    expect(line).toMatchObject({ status: 404 })
  })

  test('can be a sample, whose lines say of how many', async () => {
    await using site = await startSite({ image, env: { OUTPORT_ACCESS_LOG: '1/4' } })
    for (let count = 0; count < 200; count++) await site.askTag('1')
    await site.askTag('none')
    await site.edge.logged(({ status }) => status === 404)
    const sampled = site.edge.logs.filter(({ msg, status }) => msg === 'request' && status === 200)
    expect(sampled.length).toBeGreaterThan(10)
    expect(sampled.length).toBeLessThan(150)
    expect(new Set(sampled.map((line) => line.sampled))).toEqual(new Set(['1/4']))
  })

  test('tells what is slow although nothing else is logged, and what it waited for', async () => {
    await using site = await startSite({
      image,
      policy: { project: neverFresh },
      env: { OUTPORT_ACCESS_LOG: 'errors', OUTPORT_SLOW_REQUEST: '100ms' },
    })
    site.upstream.fault({ on: { kind: 'blob' }, latencyMs: 400 })
    await site.askBlob(layerOf(image))
    // On a busy machine others are slow as well.
    const line = await site.edge.logged(({ slow, path }) => slow === true && String(path).includes('/blobs/'))
    expect(line).toMatchObject({ msg: 'request', level: 'warn', status: 200, cache: 'fill' })
    expect(line.firstByteMs).toBeGreaterThan(350)
    const { upstream, fill } = line.waited as Record<string, number>
    expect(Math.max(upstream ?? 0, fill ?? 0)).toBeGreaterThan(350)
    expect(await site.edge.metrics('outport_slow_requests_total', { kind: 'blob' })).toBe(1)
  })

  test('of a part has a level of its own', async () => {
    await using site = await startSite({ image, env: { OUTPORT_LOG_LEVEL: 'info,request=silent' } })
    site.upstream.addImage('library/other', '1', image)
    await writeFile(join(site.edge.policies, 'mirror.yaml'), 'kind: nonsense')
    await site.edge.logged(({ part, level }) => part === 'policy' && level === 'error')
    expect(site.edge.logs.filter(({ msg }) => msg === 'request')).toEqual([])
  })
})

describe('what everybody may ask a node for', () => {
  const planes = [
    '/metrics',
    '/debug/pprof',
    '/healthz',
    '/env',
    '/config',
    '/openapi.json',
    '/livez',
    '/readyz',
  ]

  test('is what it is meant for, at every door, and names nothing that is private', async () => {
    await using upstream = await startUpstream()
    upstream.addImage('library/app', '1', image)
    upstream.addImage('secret-team/secret-app', '1', image)
    const secret = {
      kind: 'project',
      name: 'secret-project',
      proxy: { registry: 'upstream', path: 'secret-team' },
      public: false,
    }
    await using edge = await startEdge({
      policies: { 'site.yaml': mirrorPolicy(upstream, { more: [secret] }) },
      env: { OUTPORT_MIRROR_LISTEN: '127.0.0.1:0', OUTPORT_METRICS_LISTEN: '127.0.0.1:0' },
    })
    const metricsUrl = String((await edge.logged(({ face }) => face === 'metrics')).url).replace(/\/$/, '')
    for (const path of [
      'secret-project/secret-app/manifests/1',
      'secret-project/x/blobs/sha256:0',
      'a/b/c/manifests/1',
    ])
      await fetchBlob(`${edge.url}/v2/${path}`)
    await fetchBlob(`${edge.mirrorUrl}/v2/library/app/manifests/1`)
    await fetchBlob(`${edge.url}/secret-page`)

    const told: Record<string, string[]> = {}
    const texts: string[] = []
    for (const [face, url] of Object.entries({
      registry: edge.url,
      mirror: edge.mirrorUrl,
      metrics: metricsUrl,
    })) {
      for (const path of planes) {
        const answer = await fetch(url + path)
        const text = await answer.text()
        texts.push(text)
        if (answer.ok) told[face] = [...(told[face] ?? []), path]
        else
          expect([answer.status, JSON.parse(text)]).toMatchObject([404, { errors: [{ code: 'NOT_FOUND' }] }])
      }
    }
    expect(told).toEqual({
      registry: ['/livez', '/readyz'],
      mirror: ['/livez', '/readyz'],
      metrics: ['/metrics', '/livez', '/readyz'],
    })
    expect(texts.join()).toContain('outport_requests_total')
    expect(texts.join()).not.toMatch(/secret|library\/app|sha256:/)
  })
})
