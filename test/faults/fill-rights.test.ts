import { writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { type Edge, startEdge } from '../support/edge.ts'
import { type Fetched, type FetchOptions, fetchBlob } from '../support/fetch-blob.ts'
import { buildImage } from '../support/images.ts'
import { type SeenRequest, startUpstream, type Upstream } from '../support/upstream.ts'
import { layerOf } from './support/site.ts'
import { flip, pathOf } from './support/stored.ts'

const image = buildImage({ layers: [6_000_000], seed: 'rights' })
const { bytes, digest } = layerOf(image)
const half = bytes.length >> 1

/** At first everybody may read it. */
const owner = 'first/kept/app'
/** Under these, every question has a repository of its own: what one was told is remembered for the next. */
const askers = {
  'a repository of the same upstream': { project: 'first', path: 'asked', of: 'one' },
  'a repository of another upstream': { project: 'second', path: 'other', of: 'two' },
} as const
type Asker = (typeof askers)[keyof typeof askers]

interface Sites extends AsyncDisposable {
  edge: Edge
  one: Upstream
  two: Upstream
  /** From now on nobody may read the first one's repository here. */
  shut(): Promise<void>
  ask(name: string, options?: FetchOptions): Promise<Fetched>
}

async function start(): Promise<Sites> {
  await using owned = new AsyncDisposableStack()
  const one = owned.use(await startUpstream())
  const two = owned.use(await startUpstream())
  one.addImage('kept/app', '1', image)
  const edge = owned.use(await startEdge({ policies: { 'site.yaml': policyOf(one, two, true) } }))
  const held = owned.move()
  return {
    edge,
    one,
    two,
    async shut() {
      await writeFile(`${edge.policies}/site.yaml`, policyOf(one, two, ['asked/**']))
      await edge.logged(({ msg }) => msg === 'policies loaded')
    },
    ask: (name, options) =>
      fetchBlob(`${edge.url}/v2/${name}/blobs/${digest}`, {
        keep: true,
        signal: AbortSignal.timeout(15_000),
        ...options,
      }),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

function policyOf(one: Upstream, two: Upstream, readable: true | string[]): string {
  const documents = [
    { kind: 'registry', name: 'one', type: 'docker-registry', url: one.url, ns: 'one.test' },
    { kind: 'registry', name: 'two', type: 'docker-registry', url: two.url, ns: 'two.test' },
    { kind: 'project', name: 'first', proxy: 'one', public: readable },
    { kind: 'project', name: 'second', proxy: 'two', public: true },
  ]
  return documents.map((document) => stringify(document)).join('---\n')
}

describe.each(Object.keys(askers) as (keyof typeof askers)[])('%s gets nothing of a digest', (who) => {
  const asker = askers[who]
  const isAsked = ({ kind, repository = '' }: SeenRequest) =>
    kind === 'blob' && repository.startsWith(asker.path)

  test.each([
    404, 403, 401,
  ])('that its upstream answers %i for, while it is on its way to others and when it is here', async (status) => {
    await using site = await start()
    using stalled = site.one.fault({ on: keptBlob, stallAt: half })
    site[asker.of].fault({ on: isAsked, status })
    const rightful = site.ask(owner)
    await stalled.struck()

    await expectNothing(site, asker, 'early')
    stalled.release()
    expect(await rightful).toMatchObject({ status: 200, complete: true, sha256: digest })
    await expectNothing(site, asker, 'late')

    expect(site.one.count(keptBlob)).toBe(1)
    expect(await site.ask(owner)).toMatchObject({ status: 200, sha256: digest })
  })

  test.each([
    404, 403,
  ])('that a manifest of its own names and others hold in private, when its upstream answers %i', async (status) => {
    await using site = await start()
    using stalled = site.one.fault({ on: keptBlob, stallAt: half })
    site[asker.of].fault({ on: isAsked, status })
    for (const moment of ['early', 'late']) await knowManifests(site, asker, moment)
    const rightful = site.ask(owner)
    await stalled.struck()
    await site.shut()

    await expectNothing(site, asker, 'early')
    stalled.release()
    expect(await rightful).toMatchObject({ status: 200, complete: true, sha256: digest })
    await expectNothing(site, asker, 'late')
    expect((await site.ask(owner)).status).toBe(404)
  })
})

const keptBlob = { repository: 'kept/app', kind: 'blob' } as const

async function knowManifests(site: Sites, { project, path, of }: Asker, moment: string): Promise<void> {
  for (const at of questions.keys()) {
    site[of].addImage(`${path}/${moment}${at}`, '1', image)
    const { status } = await fetchBlob(`${site.edge.url}/v2/${project}/${path}/${moment}${at}/manifests/1`)
    expect(status).toBe(200)
  }
}

const questions: FetchOptions[] = [
  { method: 'HEAD' },
  {},
  { headers: { range: 'bytes=0-99' } },
  { headers: { range: `bytes=${bytes.length - 100_000}-${bytes.length - 50_000}` } },
  { headers: { range: 'bytes=-1' } },
  { headers: { range: `bytes=${bytes.length}-` } },
  { headers: { range: 'bytes=0-1,5-6' } },
  { headers: { 'if-none-match': `"${digest}"` } },
  { headers: { range: 'bytes=0-99', 'if-range': `"${digest}"` } },
]

/** Not even its size, nor that it is here: every answer is the one of a digest that nobody knows. */
async function expectNothing(site: Sites, { project, path }: Asker, moment: string): Promise<void> {
  for (const [at, question] of questions.entries()) {
    const { status, headers, body } = await site.ask(`${project}/${path}/${moment}${at}`, question)
    const what = `${moment} ${JSON.stringify(question)}`
    expect(status, what).toBe(404)
    if (question.method !== 'HEAD')
      expect(JSON.parse(body.toString()), what).toMatchObject({ errors: [{ code: 'BLOB_UNKNOWN' }] })
    for (const telling of ['content-range', 'etag', 'docker-content-digest', 'accept-ranges'])
      expect(headers[telling], what).toBeUndefined()
    expect(Number(headers['content-length'] ?? 0), what).toBeLessThan(1000)
  }
}

test('what has rotten is mended for who holds it; who must prove by downloading downloads all of it', async () => {
  await using site = await start()
  await site.ask(owner)
  await site.edge.restart()
  await flip(pathOf(site.edge.data, digest), half)
  {
    using _ = site.one.fault({ on: keptBlob, drop: true })
    await site.ask(owner).catch(() => {})
  }
  site.two.addBlob('other/app', bytes)

  expect(await site.ask('second/other/app')).toMatchObject({ status: 200, complete: true, sha256: digest })

  expect(site.two.blobBytes(digest)).toBe(bytes.length)
})
