import { describe, expect, test } from 'vitest'
import { parseDigest } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/manifest.ts'
import {
  blobDigest,
  failureOf,
  manifest,
  never,
  repository,
  settingsFor,
  startClient,
  startServer,
} from './server.ts'

describe('tags', () => {
  test.each<[string, string | undefined, string | undefined]>([
    ['the last page', undefined, undefined],
    ['a link with last', '</v2/library/app/tags/list?n=2&last=1.9>; rel="next"', '1.9'],
    ['an absolute link', '<https://elsewhere.test/x?last=1.9>; rel=next', '1.9'],
    ['a link that pages by other means', '</v2/library/app/tags/list?next_page=gAAA>; rel="next"', '2.0'],
    ['a link with a last that is no tag', '</v2/x?last=../../admin>; rel="next"', '2.0'],
    ['another relation', '</v2/x?last=1.9>; rel="prev"', undefined],
  ])('%s', async (_, link, last) => {
    await using upstream = await startServer((_request, response) => {
      if (link) response.setHeader('link', link)
      response.end(JSON.stringify({ name: 'library/app', tags: ['1.0', '2.0'] }))
    })
    await using client = startClient(settingsFor(upstream.url))

    const page = await client.listTags(repository, { n: 2, last: '0.9' }, never())

    expect(page).toEqual(last === undefined ? { tags: ['1.0', '2.0'] } : { tags: ['1.0', '2.0'], last })
    expect(upstream.requests[0]?.url).toBe('/v2/library/app/tags/list?n=2&last=0.9')
  })

  test.each<[string, string, string[]]>([
    ['drops what is no tag', '{"tags":["ok","a/b","",7,"<script>"]}', ['ok']],
    ['takes null for none', '{"name":"library/app","tags":null}', []],
  ])('%s', async (_, body, tags) => {
    await using upstream = await startServer((_request, response) => response.end(body))
    await using client = startClient(settingsFor(upstream.url))

    expect(await client.listTags(repository, {}, never())).toEqual({ tags })
  })

  test.each([
    ['oops'],
    ['[]'],
    ['{"tags":{}}'],
    ['null'],
    [' '.repeat(4 * 1024 * 1024 + 1)],
  ])('%.10j is a lie', async (body) => {
    await using upstream = await startServer((_, response) => response.end(body))
    await using client = startClient(settingsFor(upstream.url))

    expect((await failureOf(client.listTags(repository, {}, never()))).kind).toBe('lying')
  })
})

describe('referrers', () => {
  const index = JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: [],
    annotations: { a: 'b' },
  })
  const sha512 = parseDigest(`sha512:${'0123456789abcdef'.repeat(8)}`)

  test('come from the API, byte for byte', async () => {
    await using upstream = await startServer((_, response) => {
      response.writeHead(200, { 'content-type': mediaTypes.ociIndex }).end(index)
    })
    await using client = startClient(settingsFor(upstream.url))

    expect(Buffer.from(await client.listReferrers(repository, blobDigest, never())).toString()).toBe(index)
    expect(upstream.requests[0]?.url).toBe(`/v2/library/app/referrers/${blobDigest}`)
  })

  test('come from the fallback tag, whose hash is cut to 64 characters', async () => {
    await using upstream = await startServer((request, response) => {
      if (request.url?.includes('/referrers/')) response.writeHead(404).end()
      else response.writeHead(200, { 'content-type': mediaTypes.ociIndex }).end(index)
    })
    await using client = startClient(settingsFor(upstream.url))

    expect(Buffer.from(await client.listReferrers(repository, sha512, never())).toString()).toBe(index)
    expect(upstream.requests[1]?.url).toBe(`/v2/library/app/manifests/sha512-${'0123456789abcdef'.repeat(4)}`)
  })

  test('are an empty index where there is neither', async () => {
    await using upstream = await startServer((_, response) => response.writeHead(404).end())
    await using client = startClient(settingsFor(upstream.url))

    const bytes = await client.listReferrers(repository, blobDigest, never())

    expect(JSON.parse(Buffer.from(bytes).toString())).toEqual({
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [],
    })
  })

  test('that are no index are a lie', async () => {
    await using upstream = await startServer((_, response) => {
      response.writeHead(200, { 'content-type': mediaTypes.ociManifest }).end(manifest)
    })
    await using client = startClient(settingsFor(upstream.url))

    expect((await failureOf(client.listReferrers(repository, blobDigest, never()))).kind).toBe('lying')
  })

  test('are no empty index while upstream does not answer', async () => {
    await using upstream = await startServer((_, response) => response.writeHead(503).end())
    await using client = startClient(settingsFor(upstream.url))

    expect((await failureOf(client.listReferrers(repository, blobDigest, never()))).kind).toBe('down')
  })
})
