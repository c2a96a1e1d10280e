import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { type FaultSite, layerOf, startSite } from '../faults/support/site.ts'
import { createAuthority } from '../support/certificates.ts'
import { buildImage } from '../support/images.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const root = join(import.meta.dirname, '../..')

interface Rule {
  alert: string
  expr: string
  labels: { severity: string }
  annotations: { summary: string; description: string }
}
interface Panel {
  title: string
  targets?: { expr: string; legendFormat: string }[]
}

const { groups } = parse(await readFile(join(root, 'deploy/prometheus/alerts.yaml'), 'utf8')) as {
  groups: { rules: Rule[] }[]
}
const rules = groups.flatMap((group) => group.rules)
const { panels } = JSON.parse(await readFile(join(root, 'deploy/grafana/outport.json'), 'utf8')) as {
  panels: Panel[]
}
const targets = panels.flatMap(({ targets = [] }) => targets)
const readme = await readFile(join(root, 'README.md'), 'utf8')

/** Those that Prometheus itself gives each series. */
const ofPrometheus = ['instance', 'job', 'le']
const words = new Set(
  'sum max by rate increase histogram_quantile time without min avg le and or unless'.split(' '),
)

const owned = new AsyncDisposableStack()
let site: FaultSite
/** The labels of each metric of a node that has been at work. */
let shown: Map<string, Set<string>>

beforeAll(async () => {
  const folder = owned.use(await temporaryDirectory())
  const [cert, key] = [join(folder.path, 'a.pem'), join(folder.path, 'a.key')]
  const issued = createAuthority().issue({ names: ['edge.corp'] })
  await writeFile(cert, issued.cert)
  await writeFile(key, issued.key)
  const tls = { OUTPORT_MIRROR_LISTEN: 'https://127.0.0.1:0', OUTPORT_TLS_CERT: cert, OUTPORT_TLS_KEY: key }
  const image = buildImage({ layers: [2000] })
  const policy = { registry: { bandwidth: '100MiB/s' } }
  site = owned.use(await startSite({ image, policy, env: { OUTPORT_SLOW_REQUEST: '1ms', ...tls } }))
  site.upstream.fault({ on: { kind: 'blob' }, times: 1, flipAt: 10 })
  await site.askBlob(layerOf(image)).catch(() => {})
  await site.askBlob(layerOf(image))
  site.upstream.fault({
    on: { kind: 'manifest' },
    headers: { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '99;w=21600' },
  })
  await site.askTag('limited')
  site.upstream.fault({ on: { kind: 'tags' }, status: 429, headers: { 'retry-after': '600' } })
  await site.ask('tags/list')
  shown = labelsIn(await (await fetch(`${site.edge.url}/metrics`)).text())
})
afterAll(() => owned.disposeAsync())

function labelsIn(exposition: string): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>()
  for (const [, name = ''] of exposition.matchAll(/^# TYPE (\S+)/gm)) found.set(name, new Set())
  for (const [, name = '', labels = ''] of exposition.matchAll(/^([a-z_]\w*)(?:\{(.*)\})? /gm)) {
    const known = found.get(name) ?? new Set()
    for (const [, label = ''] of labels.matchAll(/(\w+)="/g)) known.add(label)
    found.set(name, known)
  }
  return found
}

/** The names of metrics in an expression. */
function metricsIn(expr: string): string[] {
  const bare = expr.replaceAll(/\{[^}]*\}|"[^"]*"|\[[^\]]*\]|by \([^)]*\)/g, ' ')
  return [...bare.matchAll(/[a-z_]\w*/gi)]
    .map(([name]) => name)
    .filter((name) => !words.has(name) && name !== 'up')
}

function labelsOf(expr: string): string[] {
  const matchers = [...expr.matchAll(/\{([^}]*)\}/g)].flatMap(([, inner = '']) => [
    ...inner.matchAll(/(\w+)\s*[=!]/g),
  ])
  const grouped = [...expr.matchAll(/by \(([^)]*)\)/g)].flatMap(([, names = '']) => [
    ...names.matchAll(/(\w+)/g),
  ])
  return [...matchers, ...grouped].map(([, name = '']) => name)
}

/** What of it no running node has. */
function wrongIn(expr: string, printed: string): string[] {
  const metrics = metricsIn(expr)
  const absent = metrics.filter((name) => !shown.has(name))
  const labels = new Set([...ofPrometheus, ...metrics.flatMap((name) => [...(shown.get(name) ?? [])])])
  const templated = [...printed.matchAll(/\$labels\.(\w+)|\{\{(\w+)\}\}/g)].map(
    ([, alert, legend]) => alert ?? legend ?? '',
  )
  return [...absent, ...[...labelsOf(expr), ...templated].filter((label) => !labels.has(label))]
}

test('a node that has been at work shows more than enough', () => {
  expect(shown.size).toBeGreaterThan(50)
  expect(shown.get('outport_upstream_budget_remaining')).toEqual(new Set(['registry', 'kind']))
})

test.each(rules.map((rule) => [rule.alert, rule] as const))('alert %s', (_, {
  expr,
  labels,
  annotations,
}) => {
  expect(wrongIn(expr, annotations.summary)).toEqual([])
  expect(['critical', 'warning']).toContain(labels.severity)
  expect(annotations.description).toMatch(/\w+ \w+ \w+.*\.$/)
})

test('every panel of the dashboard asks for what there is', () => {
  expect(targets.length).toBeGreaterThan(20)
  expect(targets.flatMap(({ expr, legendFormat }) => wrongIn(expr, legendFormat))).toEqual([])
})

test('what the README says to watch is there', () => {
  const named = [...readme.matchAll(/`(outport_[a-z_]+)`/g)].map(([, name = '']) => name)
  expect(named.filter((name) => !shown.has(name))).toEqual([])
})

test('every metric of ours has help, and a name as Prometheus wants it', async () => {
  const text = await (await fetch(`${site.edge.url}/metrics`)).text()
  for (const [, name = '', type] of text.matchAll(/^# TYPE (outport_\w+) (\w+)$/gm)) {
    expect(text).toMatch(new RegExp(`^# HELP ${name} [A-Z01].*\\.`, 'm'))
    expect([name, name.endsWith('_total')]).toEqual([name, type === 'counter'])
  }
})
