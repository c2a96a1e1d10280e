import { expect, test } from 'vitest'
import { fetchBlob } from '../support/fetch-blob.ts'
import { buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { describeWith } from '../support/tools.ts'
import { layerOf, repository, startSite } from './support/site.ts'
import { slowDisk } from './support/slow-disk.ts'
import { storedDigests } from './support/stored.ts'

describeWith(['strace'], 'with a disk that takes 200 ms for every write', () => {
  test('what is here is served, and the node answers, while cold images crawl in', async () => {
    await using site = await startSite()
    const kept = buildImage({ layers: [2_000_000], seed: 'kept' })
    site.upstream.addImage(repository, 'kept', kept)
    await pull(site.edge.url, repository, 'kept')
    const cold = Array.from({ length: 4 }, (_, at) => buildImage({ layers: [2_000_000], seed: `cold ${at}` }))
    for (const [at, image] of cold.entries()) site.upstream.addImage(repository, `cold${at}`, image)

    await using slow = new AsyncDisposableStack()
    slow.use(await slowDisk(site.edge.pid, 200))

    let pulled = 0
    const pulling = Promise.all(
      cold.map(async (_, at) => {
        const { digest } = await pull(site.edge.url, repository, `cold${at}`)
        pulled++
        return digest
      }),
    )
    await site.upstream.seen({ kind: 'blob', method: 'GET' }, 4)
    for (let at = 0; at < 10; at++) {
      const { sha256 } = await site.askBlob(layerOf(kept))
      const { status } = await fetchBlob(`${site.edge.url}/livez`)
      expect([sha256, status]).toEqual([layerOf(kept).digest, 200])
    }

    expect(pulled).toBe(0)
    await slow.disposeAsync()
    expect(await pulling).toEqual(cold.map(({ manifest }) => manifest.digest))
    expect(await storedDigests(site.edge.data)).toEqual(
      expect.arrayContaining(cold.map((image) => layerOf(image).digest)),
    )
    expect(await site.edge.stop()).toEqual({ code: 0, signal: null })
  })
})
