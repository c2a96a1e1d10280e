import { expect, test } from 'vitest'
import { buildImage } from '../support/images.ts'
import { amd64, ask, expectError, layer, ociIndex, pull, startMirror } from './support/mirror.ts'

/** The answers that make docker, containerd and podman turn to the registry itself, and fast. */

test('what upstream does not have, or does not give us, is not found', async () => {
  await using site = await startMirror()
  site.upstream.addImage('library/x', '1', ociIndex)
  const absent = `sha256:${'0'.repeat(64)}`
  await expectError(site.edge, '/v2/library/x/manifests/2', 404, 'MANIFEST_UNKNOWN')
  await expectError(site.edge, `/v2/library/x/manifests/${absent}`, 404, 'MANIFEST_UNKNOWN')
  await expectError(site.edge, `/v2/library/x/blobs/${absent}`, 404, 'BLOB_UNKNOWN')
  await expectError(site.edge, '/v2/library/x/manifests/1?ns=registry.invalid', 404, 'NAME_UNKNOWN')

  for (const [tag, status] of Object.entries({ a: 401, b: 403, c: 404 })) {
    using _refused = site.upstream.fault({ on: { kind: 'manifest', reference: tag }, status })
    await expectError(site.edge, `/v2/library/x/manifests/${tag}`, 404, 'MANIFEST_UNKNOWN')
  }
})

test('a rate limit of upstream is not passed on', async () => {
  await using site = await startMirror()
  site.upstream.addImage('library/x', '1', ociIndex)
  site.upstream.fault({ on: { kind: 'manifest' }, status: 429, headers: { 'retry-after': '60' } })

  const { headers } = await expectError(site.edge, '/v2/library/x/manifests/1', 503, 'UNAVAILABLE')

  expect(Number(headers['retry-after'])).toBeGreaterThan(0)
})

for (const status of [500, 502, 503, 504]) {
  test(`an upstream that answers ${status} is unavailable`, async () => {
    await using site = await startMirror()
    site.upstream.fault({ on: { kind: 'manifest' }, status })

    await expectError(site.edge, '/v2/library/x/manifests/1', 503, 'UNAVAILABLE')
  })
}

test('an upstream that says nothing for too long is unavailable, before clients give up', async () => {
  await using site = await startMirror({ registry: { timeouts: { head: '1s' } } })
  site.upstream.addImage('library/x', '1', ociIndex)
  await ask(site.edge, `/v2/library/x/manifests/${amd64.manifest.digest}`)
  using _silent = site.upstream.fault({ on: { kind: 'blob' }, stallBeforeStatus: true })

  await expectError(site.edge, `/v2/library/x/blobs/${layer.digest}`, 503, 'UNAVAILABLE')
})

test('with upstream down an image is promised only when all of it is here', async () => {
  await using site = await startMirror()
  const other = buildImage({ seed: 'other', layers: [100, 200] })
  const half = buildImage({ seed: 'half', layers: [100, 200] })
  site.upstream.addImage('library/x', '1', ociIndex)
  site.upstream.addImage('library/y', '1', other)
  site.upstream.addImage('library/z', '1', half)
  await ask(site.edge, `/v2/library/x/manifests/${amd64.manifest.digest}`)
  await ask(site.edge, '/v2/library/x/manifests/1')
  await ask(site.edge, '/v2/library/z/manifests/1')
  await pull(site.edge, 'library/y', other)
  await site.upstream.stop()
  // An upstream that has answered within the last second is believed to go on.
  await expect
    .poll(async () => (await ask(site.edge, '/v2/library/z/manifests/1')).status, { timeout: 10_000 })
    .toBe(503)

  for (const reference of ['1', half.manifest.digest]) {
    await expectError(site.edge, `/v2/library/z/manifests/${reference}`, 503, 'UNAVAILABLE')
  }
  await expectError(site.edge, '/v2/library/x/manifests/1', 503, 'UNAVAILABLE')
  await expectError(site.edge, `/v2/library/x/manifests/${ociIndex.manifest.digest}`, 503, 'UNAVAILABLE')
  // Whoever asks for a child is bound by its index already; containerd asks for all of them.
  expect((await ask(site.edge, `/v2/library/x/manifests/${amd64.manifest.digest}`)).status).toBe(200)
  await expectError(site.edge, `/v2/library/x/blobs/${layer.digest}`, 503, 'UNAVAILABLE')
  await pull(site.edge, 'library/y', other)

  await site.upstream.restart()
  await expect
    .poll(async () => (await ask(site.edge, '/v2/library/x/manifests/1')).status, { timeout: 10_000 })
    .toBe(200)
})
