import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createPusher, type Said } from '../support/hosted.ts'
import { buildImage, buildReferrer, type Image } from '../support/images.ts'
import { jsonIn, startVirtual, type VirtualSite } from './support/virtual.ts'

const image = buildImage({ layers: [2000], seed: 'listed' })
const own = buildImage({ layers: [3000], seed: 'own' })
const signatureOf = (subject: Image, seed: string, artifactType = 'application/signature') =>
  buildReferrer({ subject: subject.manifest, artifactType, bytes: Buffer.from(seed) })
const theirs = [signatureOf(image, 'a'), signatureOf(image, 'b'), signatureOf(image, 'c', 'application/sbom')]
const ours = [signatureOf(image, 'd'), signatureOf(image, 'e', 'application/sbom')]
const digestsOf = (images: readonly Image[]) => images.map(({ manifest }) => manifest.digest).sort()

let site: VirtualSite
beforeAll(async () => {
  site = await startVirtual({ project: { stale: { when: 'upstream-error', for: '7d' } } })
  const { upstream, admin } = site
  for (const tag of ['a', 'c', 'e', 'g', 'both']) upstream.addImage('library/app', tag, image)
  for (const referrer of theirs) upstream.addImage('library/app', undefined, referrer)
  for (const tag of ['b', 'f', 'z', 'both']) await admin.pushImage('lib/app', own, tag)
  for (const referrer of [...ours, ...theirs.slice(0, 1)]) await admin.pushImage('lib/app', referrer)
  await admin.pushImage('lib/tool', own, '1')
})
afterAll(() => site[Symbol.asyncDispose]())

const get = (path: string) => createPusher(site.edge, {}).send('GET', path)
const all = ['a', 'b', 'both', 'c', 'e', 'f', 'g', 'z']

/** Every page of a listing, from one `Link` to the next. */
async function pagesOf(path: string): Promise<Said[]> {
  const pages: Said[] = []
  for (let next: string | undefined = path; next !== undefined && pages.length < 30; ) {
    const page: Said = await get(next)
    pages.push(page)
    next = /^<([^>]+)>/.exec(page.headers.get('link') ?? '')?.[1]
  }
  return pages
}

describe('the tags of a virtual project', () => {
  test('are those that were pushed and those of upstream, sorted, each once', async () => {
    const said = await get('/v2/lib/app/tags/list')
    expect(jsonIn(said)).toEqual({ name: 'lib/app', tags: all })
    expect(said.headers.get('link')).toBeNull()
  })

  test.each([1, 2, 3, 5, 8, 20])('come in pages of %i', async (n) => {
    const pages = (await pagesOf(`/v2/lib/app/tags/list?n=${n}`)).map((page) => jsonIn(page).tags)
    expect(pages.flat()).toEqual(all)
    expect(pages.length).toBeGreaterThanOrEqual(Math.ceil(all.length / n))
    expect(pages.every((tags) => tags.length <= n)).toBe(true)
  })

  test('go on behind a tag', async () => {
    expect(jsonIn(await get('/v2/lib/app/tags/list?last=both')).tags).toEqual(['c', 'e', 'f', 'g', 'z'])
    expect(jsonIn(await get('/v2/lib/app/tags/list?n=0')).tags).toEqual([])
  })

  test('are the own ones where upstream has none of that name', async () => {
    const said = await get('/v2/lib/tool/tags/list')
    expect(jsonIn(said).tags).toEqual(['1'])
    expect(said.headers.get('warning')).toBeNull()
    await site.admin.pushImage('lib/untagged', own)
    expect(jsonIn(await get('/v2/lib/untagged/tags/list')).tags).toEqual([])
    expect((await get('/v2/lib/nobody/tags/list')).code).toBe('NAME_UNKNOWN')
  })
})

describe('the referrers of a manifest of a virtual project', () => {
  const path = `/v2/lib/app/referrers/${image.manifest.digest}`
  const listed = (said: Said) => jsonIn(said).manifests.map(({ digest }: { digest: string }) => digest)

  test('are those that were pushed and those of upstream, each once', async () => {
    const said = await get(path)
    expect(listed(said)).toEqual(digestsOf([...theirs, ...ours]))
    expect(said.headers.get('content-type')).toBe('application/vnd.oci.image.index.v1+json')
  })

  test('are told apart by their type', async () => {
    const said = await get(`${path}?artifactType=application/sbom`)
    expect(listed(said)).toEqual(digestsOf([...theirs.slice(2), ...ours.slice(1)]))
    expect(said.headers.get('oci-filters-applied')).toBe('artifactType')
  })

  test.each([1, 2, 4])('come in pages of %i', async (n) => {
    const pages = (await pagesOf(`${path}?n=${n}`)).map(listed)
    expect(pages.flat()).toEqual(digestsOf([...theirs, ...ours]))
    expect(pages.every((digests) => digests.length <= n)).toBe(true)
  })

  test('of what was pushed need no upstream', async () => {
    const signature = signatureOf(own, 'own')
    expect(listed(await get(`/v2/lib/app/referrers/${own.manifest.digest}`))).toEqual([])
    await site.admin.pushImage('lib/tool', signature)
    expect(listed(await get(`/v2/lib/tool/referrers/${own.manifest.digest}`))).toEqual(digestsOf([signature]))
  })
})

describe('while upstream is gone', () => {
  const subject = signatureOf(own, 'later')
  beforeAll(async () => {
    // So that something is known of upstream's.
    await get('/v2/lib/app/manifests/c')
    await site.upstream.stop()
    await site.admin.pushImage('lib/app', subject)
  })
  afterAll(() => site.upstream.restart())

  test('the tags are those that were pushed, and what is known of the others', async () => {
    const said = await get('/v2/lib/app/tags/list')
    expect(jsonIn(said).tags).toEqual(['b', 'both', 'c', 'f', 'z'])
    expect([said.headers.get('x-outport-cache'), said.headers.get('warning')]).toEqual([
      'stale',
      expect.stringContaining('299'),
    ])
    const pages = await pagesOf('/v2/lib/app/tags/list?n=2')
    expect(pages.flatMap((page) => jsonIn(page).tags)).toEqual(['b', 'both', 'c', 'f', 'z'])
    expect(jsonIn(await get('/v2/lib/tool/tags/list')).tags).toEqual(['1'])
    expect(jsonIn(await get('/v2/lib/untagged/tags/list')).tags).toEqual([])
    expect((await get('/v2/lib/nobody/tags/list')).status).toBe(503)
  })

  test('the referrers are those that were pushed', async () => {
    const said = await get(`/v2/lib/app/referrers/${subject.manifest.digest}`)
    expect([said.status, jsonIn(said).manifests]).toEqual([200, []])
    const others = await get(`/v2/lib/untagged/referrers/${image.manifest.digest}`)
    expect(others.status).toBe(503)
    const mine = await get(`/v2/lib/app/referrers/${own.manifest.digest}?artifactType=application/signature`)
    expect(jsonIn(mine).manifests.map(({ digest }: { digest: string }) => digest)).toEqual(
      digestsOf([subject]),
    )
  })
})

test('the catalog lists what is here', async () => {
  const { body } = await site.admin.send('GET', '/v2/_catalog')
  expect(jsonIn({ body }).repositories).toEqual(['lib/app', 'lib/tool', 'lib/untagged'])
})
