import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Extents, extentsOf } from '../../src/blobs/extents.ts'
import { hexOf } from '../../src/oci/digest.ts'
import { isWhole, layerOf, repository, startSite } from '../faults/support/site.ts'
import { extentsWith } from '../support/extents.ts'
import { buildImage } from '../support/images.ts'
import type { Upstream } from '../support/upstream.ts'

const mebibyte = 1024 * 1024
const image = buildImage({ layers: [30 * mebibyte] })
const layer = layerOf(image)
const ofLayer = { kind: 'blob', digest: layer.digest, method: 'GET' } as const

function rangesOf({ requests }: Upstream): (string | undefined)[] {
  return requests.filter(({ method }) => method === 'GET').map(({ headers }) => headers.range)
}

async function extentsBeside(data: string): Promise<Extents | undefined> {
  const files = await readdir(join(data, 'blobs'), { recursive: true })
  const file = files.find((name) => name.endsWith(`${hexOf(layer.digest)}.extents`)) ?? ''
  return extentsOf(await readFile(join(data, 'blobs', file), 'utf8'))
}

describe('a large blob over a long line', () => {
  test('comes in parallel parts, each byte once, and is kept with the tags of its extents', async () => {
    await using site = await startSite({ image, policy: { registry: { segments: 3 } } })
    // Parts that take a while, so that they run side by side.
    site.upstream.fault({ on: ofLayer, bytesPerSecond: 16 * mebibyte })

    const answer = await site.askBlob(layer)

    expect(answer).toMatchObject({ status: 200, complete: true, sha256: layer.digest })
    expect(rangesOf(site.upstream).length).toBeGreaterThanOrEqual(4)
    expect(rangesOf(site.upstream)).toContain(`bytes=${8 * mebibyte}-${16 * mebibyte - 1}`)
    expect(site.upstream.blobBytes(layer.digest)).toBe(layer.bytes.length)
    const extents = await extentsBeside(site.edge.data)
    expect(extents).toEqual(extentsWith(layer.bytes, extents?.key))
  })

  test('of itself, where a registry is far away', async () => {
    await using site = await startSite({ image, policy: { registry: { segments: 'auto' } } })
    // Eight answers are remembered, and the quickest tells.
    site.upstream.fault({ on: { kind: 'manifest' }, latencyMs: 60 })
    for (let at = 0; at < 8; at += 1) {
      site.upstream.setTag(repository, `t${at}`, image.manifest.digest)
      await site.askTag(`t${at}`)
    }
    site.upstream.clear()
    site.upstream.fault({ on: ofLayer, latencyMs: 60, bytesPerSecond: 16 * mebibyte })

    expect(isWhole(await site.askBlob(layer))).toBe(true)

    expect(rangesOf(site.upstream)).toContain(`bytes=0-${8 * mebibyte - 1}`)
  })

  test('of which one part breaks off, is whole all the same', async () => {
    await using site = await startSite({ image, policy: { registry: { segments: 3 } } })
    site.upstream.fault({ on: ofLayer, times: 2, truncateAt: 3 * mebibyte })

    const answer = await site.askBlob(layer)

    expect(answer).toMatchObject({ status: 200, complete: true, sha256: layer.digest })
    expect(site.upstream.blobBytes(layer.digest)).toBeLessThanOrEqual(layer.bytes.length * 1.01)
  })

  test('from a registry that knows no ranges, comes whole and once', async () => {
    await using site = await startSite({ image, policy: { registry: { segments: 3 } } })
    site.upstream.fault({ on: ofLayer, ignoreRange: true })

    const answer = await site.askBlob(layer)

    expect(answer).toMatchObject({ status: 200, complete: true, sha256: layer.digest })
    expect(site.upstream.blobBytes(layer.digest)).toBe(layer.bytes.length)
  })

  test('killed with parts of it here, needs only what is missing', async () => {
    await using site = await startSite({ image, policy: { registry: { segments: 3 } } })
    const fault = site.upstream.fault({ on: ofLayer, stallAt: 6 * mebibyte })
    const first = site.askBlob(layer).catch(() => {})
    await fault.struck(3)
    await expect.poll(() => site.edge.metrics('outport_upstream_bytes_total')).toBeGreaterThan(17 * mebibyte)
    await site.edge.kill()
    await first
    fault[Symbol.dispose]()
    site.upstream.clear()
    await site.edge.restart()

    expect(await site.askBlob(layer)).toMatchObject({ status: 200, complete: true, sha256: layer.digest })

    // A mebibyte of each part may not have been noted yet.
    expect(site.upstream.blobBytes(layer.digest)).toBeLessThanOrEqual(
      layer.bytes.length - 15 * mebibyte + 100_000,
    )
  })
})
