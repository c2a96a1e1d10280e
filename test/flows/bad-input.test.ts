import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Edge, mirrorPolicy, startEdge } from '../support/edge.ts'
import { buildImage } from '../support/images.ts'
import { rawRequest } from '../support/raw-request.ts'
import { startUpstream, type Upstream } from '../support/upstream.ts'

const digest = `sha256:${'a'.repeat(64)}`
let upstream: Upstream
let edge: Edge

beforeAll(async () => {
  upstream = await startUpstream()
  upstream.addImage('library/app', '1', buildImage({ layers: [1000] }))
  const calm = mirrorPolicy(upstream)
  edge = await startEdge({ policies: { 'mirror.yaml': calm } })
})

afterAll(async () => {
  await edge[Symbol.asyncDispose]()
  await upstream[Symbol.asyncDispose]()
})

async function ask(
  line: string,
  headers: readonly string[] = [],
): Promise<{ status?: number; code?: string; text: string }> {
  const head = [line, 'Host: edge', 'Connection: close', ...headers, '', ''].join('\r\n')
  const answer = await rawRequest('127.0.0.1', edge.port, Buffer.from(head, 'latin1'))
  const isJson = answer.headers['content-type']?.startsWith('application/json') && answer.body !== ''
  const code = isJson ? JSON.parse(answer.body).errors?.[0]?.code : undefined
  return { status: answer.status, code, text: answer.text }
}

describe('a request that cannot be right is told so', () => {
  test.each([
    ['GET /v2/library%2Fapp/manifests/1', 400, 'NAME_INVALID'],
    ['GET /v2/library/App/manifests/1', 400, 'NAME_INVALID'],
    ['GET /v2/a/../b/manifests/1', 400, 'NAME_INVALID'],
    ['GET /v2/%2e%2e/manifests/1', 400, 'NAME_INVALID'],
    ['GET /v2/a/manifests/..%2f..%2fetc', 400, 'TAG_INVALID'],
    ['GET /v2/a/manifests/%00', 400, 'TAG_INVALID'],
    ['GET /v2/a/manifests/%0d%0aX%20y', 400, 'TAG_INVALID'],
    ['GET /v2/a/manifests/%ff', 400, 'TAG_INVALID'],
    [`GET /v2/a/manifests/${'x'.repeat(129)}`, 400, 'TAG_INVALID'],
    ['GET /v2/a/blobs/sha256:abc', 400, 'DIGEST_INVALID'],
    ['GET /v2/a/blobs/md5:00000000000000000000000000000000', 400, 'DIGEST_INVALID'],
    [`GET /v2/${'a'.repeat(256)}/manifests/1`, 400, 'NAME_INVALID'],
    ['GET /v2/a\\b/manifests/1', 400, 'NAME_INVALID'],
    ['GET /v2/a/tags/list?n=-1', 400, 'PAGINATION_NUMBER_INVALID'],
    ['GET /v2/a/tags/list?n=1e309', 400, 'PAGINATION_NUMBER_INVALID'],
    ['GET /v2/a/tags/list?n=1&n=2', 400, 'PAGINATION_NUMBER_INVALID'],
    ['GET /v2/a/tags/list?last=../../', 400, 'TAG_INVALID'],
    ['GET //v2/', 404, 'NOT_FOUND'],
    ['GET /V2/', 404, 'NOT_FOUND'],
    ['GET /v2/;a=b', 404, 'NOT_FOUND'],
    ['GET /v2/a/../../livez', 404, 'NOT_FOUND'],
    ['GET /x/../livez', 404, 'NOT_FOUND'],
    ['GET http://edge//v2/_catalog', 404, 'NOT_FOUND'],
    ['GET /v2/_catalog/', 404, 'NOT_FOUND'],
    ['GET /v2/library/app', 404, 'NOT_FOUND'],
    ['GET /debug/pprof', 404, 'NOT_FOUND'],
    ['GET /v2/library/app/manifests/1?ns=unknown', 404, 'NAME_UNKNOWN'],
    ['PUT /v2/library/app/manifests/1', 403, 'DENIED'],
    ['POST /v2/library/app/blobs/uploads/', 403, 'DENIED'],
    [`PATCH /v2/library/app/blobs/uploads/1`, 403, 'DENIED'],
    ['DELETE /v2/library/app/manifests/1', 405, 'UNSUPPORTED'],
    [`DELETE /v2/library/app/blobs/${digest}`, 405, 'UNSUPPORTED'],
    ['OPTIONS /v2/library/app/manifests/1', 405, 'UNSUPPORTED'],
    ['POST /v2/', 405, 'UNSUPPORTED'],
    ['TRACE /v2/', 405, 'UNSUPPORTED'],
    ['DELETE /v2/_catalog', 405, 'UNSUPPORTED'],
    ['GET /v2/_catalog?last=..', 400, 'NAME_INVALID'],
  ])('%s', async (line, status, code) => {
    const answer = await ask(`${line} HTTP/1.1`)
    expect([answer.status, answer.code]).toEqual([status, code])
  })

  test.each([
    ['a range that nothing satisfies', 'Range: bytes=100000-', 416, 'RANGE_INVALID'],
  ])('%s', async (_, header, status, code) => {
    const layer = buildImage({ layers: [1000] }).layers[0]?.digest
    const answer = await ask(`GET /v2/library/app/blobs/${layer} HTTP/1.1`, [header])
    expect([answer.status, answer.code]).toEqual([status, code])
    expect(answer.text).toMatch(/content-range: bytes \*\/\d+/i)
  })

  test.each([
    ['an unknown method', 'FOO /v2/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['no Host', 'GET /v2/ HTTP/1.1\r\n\r\n', 400],
    ['a bad Host', 'GET /v2/ HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n', 400],
    ['a byte that is no ASCII', 'GET /v2/\u00e9/manifests/1 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['a NUL', 'GET /v2/\u0000/manifests/1 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['too long a path', `GET /v2/${'a/'.repeat(40_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 431],
    ['too long a header', `GET /v2/ HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(40_000)}\r\n\r\n`, 431],
    ['two lengths', 'POST /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', 400],
    [
      'length and chunks',
      'POST /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      400,
    ],
    ['a TLS hello', '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001', 400],
  ])('%s, by a bare status, and the connection ends', async (_, text, status) => {
    const answer = await rawRequest('127.0.0.1', edge.port, Buffer.from(text, 'latin1'))
    expect([answer.status, answer.headers.connection?.toLowerCase()]).toEqual([status, 'close'])
  })
})

describe('whatever is asked', () => {
  const word = fc.oneof(
    fc.constantFrom(
      'manifests',
      'blobs',
      'tags',
      'list',
      'referrers',
      'uploads',
      '_catalog',
      'library',
      'app',
      '1',
      '..',
      '.',
      '',
    ),
    fc.constantFrom(digest, `sha512:${'0'.repeat(128)}`, 'sha256:', '%2F', '%00', '%zz', 'a%20b', ';', '@'),
    fc.stringMatching(/^[!-~]{1,12}$/),
  )
  const path = fc.array(word, { maxLength: 7 }).map((words) => `/v2/${words.join('/')}`.replace(/[\s#]/g, ''))
  const query = fc.constantFrom(
    '',
    '?ns=docker.io',
    '?ns=',
    '?ns=a&ns=b',
    '?n=5',
    '?n=x',
    '?%',
    '?last=%zz',
    '??',
    '?artifactType=x',
  )
  const method = fc.constantFrom('GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'PATCH', 'OPTIONS')
  const header = fc.constantFrom(
    [],
    ['Range: bytes=0-'],
    ['Range: bytes=x'],
    ['If-None-Match: *'],
    ['Authorization: Bearer x.y.z'],
    ['Accept: application/vnd.oci.image.index.v1+json', 'Accept: */*'],
    ['Content-Length: 3'],
  )

  test('the answer is one of the protocol, never a 500, and the process lives on', async () => {
    await fc.assert(
      fc.asyncProperty(method, path, query, header, async (verb, where, extra, headers) => {
        const answer = await ask(`${verb} ${where}${extra} HTTP/1.1`, headers)
        expect(answer.status).toBeDefined()
        expect([200, 206, 304, 400, 403, 404, 405, 416]).toContain(answer.status)
        const refused = (answer.status ?? 0) >= 400 && verb !== 'HEAD'
        if (refused) expect(answer.code).toMatch(/^[A-Z_]+$/)
      }),
      { numRuns: 300 },
    )
    expect((await ask('GET /v2/ HTTP/1.1')).status).toBe(200)
    expect(edge.logs.filter(({ level }) => level === 'error')).toEqual([])
  })
})
