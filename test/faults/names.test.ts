import { expect, test } from 'vitest'
import { startBlackHole } from '../support/black-hole.ts'
import { mirrorPolicy, startEdge } from '../support/edge.ts'
import { fetchBlob } from '../support/fetch-blob.ts'
import { buildImage } from '../support/images.ts'
import { type NameServer, startNameServer } from '../support/name-server.ts'
import { pull } from '../support/pull.ts'
import { describeWith } from '../support/tools.ts'
import { startUpstream } from '../support/upstream.ts'
import { type FaultSite, layerOf, neverFresh, repository, startSite } from './support/site.ts'

const image = buildImage({ layers: [200_000, 300_000] })
const name = 'registry.test'

/** A site whose upstream is found by name; its image is here. */
async function startNamed(names: NameServer): Promise<FaultSite> {
  const site = await startSite({
    edge: { through: names.through },
    policy: (upstream) => ({
      registry: { url: upstream.url.replace('127.0.0.1', name) },
      project: neverFresh,
    }),
  })
  site.upstream.addImage(repository, '1', image)
  await pull(site.edge.url, repository, '1')
  return site
}

describeWith(['namespaces'], 'an upstream whose name', () => {
  test.each([
    ['is unknown', 'unknown'],
    ['fails to resolve', 'failing'],
    ['nobody answers for', 'silent'],
  ] as const)(
    '%s: what is here is served, and the rest works when the name is back',
    async (_, state) => {
      await using names = await startNameServer({ [name]: ['127.0.0.1'] })
      await using site = await startNamed(names)
      const cold = buildImage({ layers: [1000], seed: 'cold' })
      site.upstream.addImage(repository, '2', cold)
      names.set(name, state)
      // Over a connection that is open no name is needed.
      await site.upstream.stop()
      await site.upstream.restart()

      for (let at = 0; at < 3; at++) await pull(site.edge.url, repository, '1')
      const stale = await site.askTag('1')
      const { status, body } = await site.askTag('2')

      expect(stale.headers.warning).toMatch(/^299 /)
      expect(status).toBe(503)
      expect(JSON.parse(body.toString())).toMatchObject({ errors: [{ code: 'UNAVAILABLE' }] })
      expect((await fetchBlob(`${site.edge.url}/livez`)).status).toBe(200)
      names.set(name, ['127.0.0.1'])
      await expect.poll(() => site.askTag('2'), { timeout: 25_000 }).toMatchObject({ status: 200 })
      expect((await pull(site.edge.url, repository, '2')).digest).toBe(cold.manifest.digest)
    },
    60_000,
  )

  test('leads into a black hole by IPv6 is reached by IPv4', async () => {
    await using names = await startNameServer({ [name]: ['::1', '127.0.0.1'] })
    await using upstream = await startUpstream()
    upstream.addImage(repository, '1', image)
    await using _hole = await startBlackHole('::1', Number(new URL(upstream.url).port))
    const policies = { 'p.yaml': mirrorPolicy({ url: upstream.url.replace('127.0.0.1', name) }) }
    await using edge = await startEdge({ policies, through: names.through })

    expect((await pull(edge.url, repository, '1')).digest).toBe(image.manifest.digest)
  })
})

describeWith(['namespaces'], 'while many names wait for a silent name server', () => {
  const slow = Array.from({ length: 6 }, (_, at) => `slow${at}`)

  test('what is here is served, and a registry with another name is reached', async () => {
    const silent = slow.map((each) => [`${each}.test`, 'silent'] as const)
    await using names = await startNameServer({ [name]: ['127.0.0.1'], ...Object.fromEntries(silent) })
    await using site = await startSite({
      edge: { through: names.through },
      policy: (upstream) => ({
        registry: { url: upstream.url.replace('127.0.0.1', name) },
        more: slow.flatMap((each) => [
          { kind: 'registry', name: each, type: 'docker-registry', url: `http://${each}.test`, ns: each },
          { kind: 'project', name: each, proxy: each, public: true },
        ]),
      }),
    })
    site.upstream.addImage(repository, '1', image)
    await pull(site.edge.url, repository, '1')
    const leave = new AbortController()
    const hanging = slow.flatMap((each) =>
      Array.from({ length: 8 }, (_, at) =>
        fetchBlob(`${site.edge.url}/v2/${each}/app/manifests/${at}`, { signal: leave.signal }),
      ),
    )
    const left = Promise.allSettled(hanging)
    await expect
      .poll(() => new Set(names.asked.filter((each) => each.startsWith('slow'))).size)
      .toBe(slow.length)

    const stored = await Promise.all(Array.from({ length: 20 }, () => site.askBlob(layerOf(image))))
    const cold = buildImage({ layers: [1000], seed: 'cold' })
    site.upstream.addImage(repository, '2', cold)
    await site.upstream.stop()
    await site.upstream.restart()
    const before = names.asked.filter((each) => each === name).length
    const pulled = await pull(site.edge.url, repository, '2')

    expect(stored.map(({ sha256, complete }) => [sha256, complete])).toEqual(
      stored.map(() => [layerOf(image).digest, true]),
    )
    expect(pulled.digest).toBe(cold.manifest.digest)
    expect(names.asked.filter((each) => each === name).length).toBeGreaterThan(before)
    leave.abort()
    await left
  }, 60_000)
})
