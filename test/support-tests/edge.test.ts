import { expect, test } from 'vitest'
import { startEdge } from '../support/edge.ts'
import { buildImage } from '../support/images.ts'
import { sumOf } from '../support/metrics.ts'
import { mirrorPolicies } from '../support/mirror-policy.ts'
import { pull } from '../support/pull.ts'
import { startUpstream } from '../support/upstream.ts'

test('an edge starts, pulls, ends in good order, and comes back on its port with its data', async () => {
  await using upstream = await startUpstream({ tls: true })
  const image = buildImage({ layers: [1000] })
  upstream.addImage('library/app', '1', image)
  await using edge = await startEdge({
    policies: mirrorPolicies(upstream),
    env: { OUTPORT_MIRROR_LISTEN: '127.0.0.1:0' },
  })
  const { url, mirrorUrl, pid } = edge
  const first = await pull(url, 'library/app', '1')

  expect(await edge.stop()).toEqual({ code: 0, signal: null })
  await upstream.stop()
  await edge.restart()
  const second = await pull(edge.mirrorUrl, 'library/app', '1')

  expect({ url: edge.url, mirrorUrl: edge.mirrorUrl }).toEqual({ url, mirrorUrl })
  expect(edge.pid).not.toBe(pid)
  expect(second.digest).toBe(first.digest)
  expect(await edge.rss()).toBeGreaterThan(10 * 1024 * 1024)
  expect(await edge.metrics('outport_requests_total', { kind: 'manifest' })).toBeGreaterThan(0)
  expect(await edge.kill()).toEqual({ code: null, signal: 'SIGKILL' })
})

test('an edge that cannot start says why', async () => {
  const policies = { 'wrong.yaml': 'kind: nonsense\n' }

  await expect(startEdge({ policies })).rejects.toThrow(/nonsense/)
})

test('metrics are added up by label, and an unknown name is an error', () => {
  const text = [
    '# TYPE x_total counter',
    'x_total{a="1",b="q\\"}"} 2',
    'x_total{a="2"} 3e2',
    '# TYPE y_total counter',
    'z 1',
  ].join('\n')

  expect(sumOf(text, 'x_total')).toBe(302)
  expect(sumOf(text, 'x_total', { a: '1' })).toBe(2)
  expect(sumOf(text, 'y_total')).toBe(0)
  expect(sumOf(text, 'z')).toBe(1)
  expect(() => sumOf(text, 'x')).toThrow('no metric is called x')
})
