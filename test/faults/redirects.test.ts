import { describe, expect, test } from 'vitest'
import { buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { type FaultEffects, startUpstream, type Upstream } from '../support/upstream.ts'
import { layerOf, neverFresh, repository, startSite } from './support/site.ts'
import { partsIn } from './support/stored.ts'

const image = buildImage({ layers: [400_000] })
const layer = layerOf(image)
const stored = buildImage({ layers: [1000], seed: 'stored' })

/** Where upstream sends us, given a server beside it that has the image too and that nobody has named. */
const ways: Readonly<Record<string, (upstream: Upstream, other: Upstream) => FaultEffects>> = {
  'to itself, again and again': (upstream) => ({ redirect: ({ path }) => `${upstream.url}${path}` }),
  'in a circle': () => ({ redirect: ({ path }) => (path.endsWith('/b') ? path.slice(0, -2) : `${path}/b`) }),
  'over eleven hops': () => ({ redirect: ({ path }) => `${path}/hop` }),
  'to another host of this network': (_, other) => ({ redirect: ({ path }) => `${other.url}${path}` }),
  'to another host by name': (_, other) => ({
    redirect: ({ path }) => `${other.url.replace('127.0.0.1', 'localhost')}${path}`,
  }),
  'to a private address': () => ({ redirect: 'http://169.254.169.254/latest/meta-data' }),
  'nowhere: without a Location': () => ({ status: 307, headers: { location: undefined } }),
}

describe('an upstream that redirects', () => {
  for (const [way, effectsOf] of Object.entries(ways)) {
    test(`${way}: 503, nobody else is asked, what is here is served, and it heals`, async () => {
      await using other = await startUpstream()
      other.addImage(repository, '1', image)
      await using site = await startSite({ image, policy: { project: neverFresh } })
      site.upstream.addImage(repository, 'stored', stored)
      await pull(site.edge.url, repository, 'stored')
      const redirects = site.upstream.fault({ on: () => true, ...effectsOf(site.upstream, other) })

      const blob = await site.askBlob(layer, { keep: true })
      const manifest = await site.askTag('2')

      for (const { status, body } of [blob, manifest]) {
        expect(status).toBe(503)
        expect(JSON.parse(body.toString())).toMatchObject({ errors: [{ code: 'UNAVAILABLE' }] })
      }
      expect((await pull(site.edge.url, repository, 'stored')).digest).toBe(stored.manifest.digest)
      expect((await site.askTag('stored')).headers.warning).toMatch(/^299 /)
      expect(other.requests).toHaveLength(0)
      expect(await site.edge.metrics('outport_upstream_lies_total')).toBeGreaterThan(0)
      expect(await partsIn(site.edge.data)).toEqual([])
      redirects[Symbol.dispose]()
      const digestOf = () => pull(site.edge.url, repository, '1').then(({ digest }) => digest)
      await expect.poll(() => digestOf().catch(String)).toBe(image.manifest.digest)
    })
  }

  test('from https to http: 503, and nothing is asked in the clear', async () => {
    await using plain = await startUpstream()
    plain.addImage(repository, '1', image)
    await using site = await startSite({
      image,
      upstream: { tls: true },
      policy: { registry: { redirectHosts: [plain.host] } },
    })
    site.upstream.fault({ on: { kind: 'blob' }, redirect: ({ path }) => `${plain.url}${path}` })

    expect((await site.askBlob(layer)).status).toBe(503)
    expect(plain.requests).toHaveLength(0)
  })
})
