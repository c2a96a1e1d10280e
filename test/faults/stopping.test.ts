import { Agent } from 'node:http'
import { expect, test } from 'vitest'
import { type FetchOptions, fetchBlob } from '../support/fetch-blob.ts'
import { buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { type FaultSite, isWhole, layerOf, repository, startSite } from './support/site.ts'
import { storedDigests } from './support/stored.ts'

const image = buildImage({ layers: [2_000_000] })
const layer = layerOf(image)

/** Twenty clients are in the middle of a layer whose rest does not come before `release`. */
async function startBusy(site: FaultSite) {
  const stall = site.upstream.fault({ on: { kind: 'blob', digest: layer.digest }, stallAt: 1_000_000 })
  let begun = 0
  const running = Array.from({ length: 20 }, () => {
    let isNew = true
    return site.askBlob(layer, {
      onProgress() {
        if (isNew) begun++
        isNew = false
      },
    })
  })
  await expect.poll(() => begun).toBe(20)
  return { running, release: () => stall.release() }
}

test('told to stop, it finishes what is under way, refuses what is new, and says so where it is looked at', async () => {
  await using site = await startSite({ image })
  const { running, release } = await startBusy(site)
  const { url } = site.edge
  using agent = keptAlive()
  const overOpenConnection = () => site.askTag('1', { agent })
  expect((await overOpenConnection()).headers.connection).toBe('keep-alive')

  const stopped = site.edge.stop()
  await site.edge.logged(({ msg }) => msg === 'stopping')

  const ask = (path: string, options?: FetchOptions) => fetchBlob(`${url}${path}`, { keep: true, ...options })
  expect((await ask('/readyz')).status).toBe(503)
  expect((await ask('/livez')).status).toBe(200)
  const late = await ask(`/v2/${repository}/manifests/1`)
  expect(late).toMatchObject({ status: 503, headers: { 'retry-after': '1', connection: 'close' } })
  expect(JSON.parse(late.body.toString())).toMatchObject({ errors: [{ code: 'UNAVAILABLE' }] })
  expect(await overOpenConnection()).toMatchObject({ status: 200, headers: { connection: 'close' } })

  release()
  for (const answer of await Promise.all(running)) {
    expect(answer).toMatchObject({ status: 200, complete: true, sha256: layer.digest })
  }
  expect(await stopped).toEqual({ code: 0, signal: null })
  await expect(ask('/livez')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  expect(await storedDigests(site.edge.data)).toContain(layer.digest)
  await site.edge.restart()
  expect((await pull(url, repository, '1')).digest).toBe(image.manifest.digest)
  expect(site.upstream.count({ kind: 'blob', digest: layer.digest, method: 'GET' })).toBe(1)
})

test('clients that never pause keep it from stopping no more than they lose an answer', async () => {
  await using site = await startSite({ image })
  await site.askBlob(layer)
  const outcomes: string[] = []
  const clients = Array.from({ length: 8 }, async () => {
    using agent = keptAlive()
    for (;;) {
      try {
        const answer = await site.askBlob(layer, { agent })
        outcomes.push(answer.status === 200 && !isWhole(answer) ? 'cut' : `${answer.status}`)
      } catch (error) {
        const code = String((error as NodeJS.ErrnoException).code)
        outcomes.push(code)
        if (code === 'ECONNREFUSED') return
      }
    }
  })
  await expect.poll(() => outcomes.length).toBeGreaterThan(20)

  expect(await site.edge.stop()).toEqual({ code: 0, signal: null })

  await Promise.all(clients)
  expect(new Set(outcomes)).not.toContain('cut')
  expect(outcomes).toContain('200')
})

function keptAlive(): Agent & Disposable {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  return Object.assign(agent, { [Symbol.dispose]: () => agent.destroy() })
}
