import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type FaultSite, layerOf, startSite } from '../faults/support/site.ts'
import { mirrorPolicy } from '../support/edge.ts'
import { buildImage } from '../support/images.ts'
import { describeWith } from '../support/tools.ts'

const metric = 'outport_upstream_bandwidth_bytes_per_second'
const image = buildImage({ layers: [8 * 1024 * 1024], compression: 'none' })

/** Asks for a layer that would take minutes. */
async function beginSlowly({ askBlob, upstream, edge }: FaultSite) {
  const answer = askBlob(layerOf(image))
  await expect.poll(() => edge.metrics('outport_upstream_bytes_total')).toBeGreaterThan(0)
  expect(await edge.metrics('outport_fills')).toBe(1)
  return {
    async ends() {
      const { status, sha256 } = await answer
      expect([status, sha256]).toEqual([200, layerOf(image).digest])
      expect(upstream.count({ kind: 'blob' })).toBe(1)
    },
  }
}

test('a layer on its way follows the bandwidth of policies that change', async () => {
  await using site = await startSite({ image, policy: { registry: { bandwidth: '32KiB/s' } } })
  expect(await site.edge.metrics(metric)).toBe(32 * 1024)
  const layer = await beginSlowly(site)

  const faster = mirrorPolicy(site.upstream, { registry: { bandwidth: '100MiB/s' } })
  await writeFile(join(site.edge.policies, 'mirror.yaml'), faster)
  await layer.ends()
  expect(await site.edge.metrics(metric)).toBe(100 * 1024 * 1024)
})

// Faketime itself would stand between the node and its signals.
const beforeEight =
  'exec env LD_PRELOAD=$(faketime -m -f -3h printenv LD_PRELOAD) FAKETIME="@2026-03-30 07:59:30" FAKETIME_DONT_FAKE_MONOTONIC=1 TZ=Europe/Berlin "$@"'

describeWith(['faketime'], 'faketime: a calendar', () => {
  test('lets a layer on its way go faster when an hour begins', { timeout: 120_000 }, async () => {
    const hours = [{ from: '00:00', to: '08:00', bandwidth: '32KiB/s' }]
    const calendar = { kind: 'calendar', name: 'nights', timeZone: 'Europe/Berlin', hours }
    await using site = await startSite({
      image,
      policy: { registry: { bandwidth: 'nights' }, more: [calendar] },
      edge: { through: ['sh', '-c', beforeEight, 'sh'] },
    })
    expect(await site.edge.metrics(metric)).toBe(32 * 1024)
    const layer = await beginSlowly(site)
    await layer.ends()
    expect(await site.edge.metrics(metric)).toBe(0)
  })
})
