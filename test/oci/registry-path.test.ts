import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RegistryError } from '../../src/oci/error.ts'
import { parseRegistryPath } from '../../src/oci/registry-path.ts'

const sha256 = `sha256:${'a'.repeat(64)}`
const sha512 = `sha512:${'b'.repeat(128)}`

const component = fc.stringMatching(/^[a-z0-9]{1,8}(?:(?:\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}$/)
const name = fc.array(component, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('/'))
const tag = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/)
const digest = fc.constantFrom(sha256, sha512)

describe('a path below /v2/', () => {
  test('is read from its right end, whatever the name holds', () => {
    fc.assert(
      fc.property(name, tag, digest, (repository, tagged, content) => {
        expect(parseRegistryPath(`/v2/${repository}/manifests/${tagged}`)).toEqual({
          kind: 'manifest',
          name: repository,
          reference: { kind: 'tag', tag: tagged },
        })
        expect(parseRegistryPath(`/v2/${repository}/blobs/${content}`)).toEqual({
          kind: 'blob',
          name: repository,
          digest: content,
        })
        expect(parseRegistryPath(`/v2/${repository}/tags/list`)).toEqual({ kind: 'tags', name: repository })
        expect(parseRegistryPath(`/v2/${repository}/referrers/${content}`)).toMatchObject({
          kind: 'referrers',
        })
      }),
    )
  })

  test.each([
    'manifests',
    'blobs',
    'tags',
    'uploads',
    'list',
    'referrers',
  ])('may have %s in its name', (word) => {
    expect(parseRegistryPath(`/v2/a/${word}/manifests/1`)).toMatchObject({
      kind: 'manifest',
      name: `a/${word}`,
    })
    expect(parseRegistryPath(`/v2/${word}/blobs/${sha256}`)).toMatchObject({ kind: 'blob', name: word })
  })

  test.each([
    ['/v2', 'base'],
    ['/v2/', 'base'],
    ['/v2/_catalog', 'catalog'],
    ['/v2/a/blobs/uploads', 'upload'],
    ['/v2/a/blobs/uploads/', 'upload'],
    ['/v2/a/b/blobs/uploads/123', 'upload'],
  ])('%s is the %s', (path, kind) => {
    expect(parseRegistryPath(path)).toMatchObject({ kind })
  })

  test.each([
    '/v2/a',
    '/v2/a/b',
    '/v2/_catalog/',
    '/v2/a/tags/all',
    '/v3/a/manifests/1',
    '/v2/manifests/1',
    '/v2/a/blobs/sha256:../../../etc/passwd',
    '//v2/',
    '/V2/',
  ])('%s is none', (path) => {
    expect(parseRegistryPath(path)).toBeUndefined()
  })

  test.each([
    ['/v2/a%2Fb/manifests/1', 'NAME_INVALID'],
    ['/v2/A/manifests/1', 'NAME_INVALID'],
    ['/v2//a/manifests/1', 'NAME_INVALID'],
    ['/v2/a//manifests/1', 'NAME_INVALID'],
    ['/v2/../a/manifests/1', 'NAME_INVALID'],
    ['/v2/a/./b/manifests/1', 'NAME_INVALID'],
    ['/v2/a.-b/manifests/1', 'NAME_INVALID'],
    ['/v2/a___b/manifests/1', 'NAME_INVALID'],
    ['/v2/tеam/manifests/1', 'NAME_INVALID'],
    [`/v2/${'a/'.repeat(128)}a/manifests/1`, 'NAME_INVALID'],
    ['/v2/a/manifests/', 'TAG_INVALID'],
    [`/v2/a/manifests/${'x'.repeat(129)}`, 'TAG_INVALID'],
    ['/v2/a/manifests/..%2f..', 'TAG_INVALID'],
    ['/v2/a/manifests/%00', 'TAG_INVALID'],
    ['/v2/a/manifests/%zz', 'TAG_INVALID'],
    ['/v2/a/manifests/-x', 'TAG_INVALID'],
    [`/v2/a/manifests/sha256:${'A'.repeat(64)}`, 'DIGEST_INVALID'],
    [`/v2/a/blobs/sha256:${'a'.repeat(63)}`, 'DIGEST_INVALID'],
    [`/v2/a/blobs/md5:${'a'.repeat(32)}`, 'DIGEST_INVALID'],
    ['/v2/a/blobs/x', 'DIGEST_INVALID'],
  ])('%s: %s', (path, code) => {
    expect(() => parseRegistryPath(path)).toThrow(expect.objectContaining({ code, status: 400 }))
  })

  test('takes a digest whose colon is encoded', () => {
    expect(parseRegistryPath(`/v2/a/blobs/${encodeURIComponent(sha256)}`)).toMatchObject({ digest: sha256 })
  })

  test('is read or refused with a known error, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 120 }), (text) => {
        try {
          parseRegistryPath(`/v2/${text}`)
        } catch (error) {
          expect(error).toBeInstanceOf(RegistryError)
        }
      }),
    )
  })
})
