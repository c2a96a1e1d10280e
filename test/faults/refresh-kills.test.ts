import { expect, test } from 'vitest'
import { startEdge } from '../support/edge.ts'
import { buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { neverFresh, repository, startSite } from './support/site.ts'
import { storedDigests } from './support/stored.ts'

const old = buildImage({ layers: [100_000], seed: 'old' })
const moved = buildImage({ layers: [100_000], seed: 'moved' })

test.each([
  'kept-unwritten',
  'kept-written',
  'kept-recorded',
])('killed while a tag follows upstream, at %s: it is the old one, whole, and then the new one', {
  timeout: 120_000,
}, async (failpoint) => {
  await using folder = await temporaryDirectory()
  await using site = await startSite({ data: folder.path, policy: { project: neverFresh } })
  site.upstream.addImage(repository, '1', old)
  await pull(site.edge.url, repository, '1')
  await site.edge.stop()
  site.upstream.addImage(repository, '1', moved)
  const common = { policies: site.edge.policies, data: folder.path }
  {
    await using victim = await startEdge({ ...common, env: { OUTPORT_FAILPOINT: `${failpoint}!` } })
    await pull(victim.url, repository, '1').catch(() => {})
    expect((await victim.exited).signal).toBe('SIGKILL')
  }

  await site.upstream.stop()
  await using edge = await startEdge(common)
  expect((await pull(edge.url, repository, '1')).digest).toBe(old.manifest.digest)
  await site.upstream.restart()
  await expect
    .poll(async () => (await pull(edge.url, repository, '1')).digest, { timeout: 20_000 })
    .toBe(moved.manifest.digest)
  await storedDigests(folder.path)
})
