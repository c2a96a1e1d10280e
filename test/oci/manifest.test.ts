import { describe, expect, test } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import { maxManifestBytes, mediaTypes, parseManifest } from '../../src/oci/manifest.ts'

const layer = {
  mediaType: 'application/vnd.oci.image.layer.v1.tar',
  digest: digestOf(Buffer.from('layer')),
  size: 5,
}
const config = {
  mediaType: 'application/vnd.oci.image.config.v1+json',
  digest: digestOf(Buffer.from('{}')),
  size: 2,
}
const image = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [layer] }

function bytesOf(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}

describe('a manifest', () => {
  test('names its config and layers', () => {
    expect(parseManifest(bytesOf(image))).toMatchObject({
      kind: 'image',
      blobs: [config, layer],
      manifests: [],
    })
  })

  test('of a list names its children', () => {
    const child = {
      ...layer,
      mediaType: mediaTypes.dockerManifest,
      platform: { os: 'linux', architecture: 'amd64' },
    }
    const list = { schemaVersion: 2, mediaType: mediaTypes.dockerList, manifests: [child] }
    const { platform: _, ...descriptor } = child
    expect(parseManifest(bytesOf(list))).toMatchObject({ kind: 'index', manifests: [descriptor], blobs: [] })
  })

  test('without a media type is what it was sent as, or what it looks like', () => {
    const { mediaType: _, ...bare } = image
    expect(parseManifest(bytesOf(bare)).mediaType).toBe(mediaTypes.ociManifest)
    expect(parseManifest(bytesOf(bare), `${mediaTypes.dockerManifest}; charset=utf-8`).mediaType).toBe(
      mediaTypes.dockerManifest,
    )
    expect(parseManifest(bytesOf({ schemaVersion: 2, manifests: [] })).mediaType).toBe(mediaTypes.ociIndex)
  })

  test('leaves out layers that no registry holds', () => {
    const foreign = { ...layer, urls: ['http://169.254.169.254/'] }
    const parsed = parseManifest(bytesOf({ ...image, layers: [foreign, layer] }))
    expect(parsed).toMatchObject({ blobs: [config, layer] })
  })

  test.each([
    ['no JSON', Buffer.from('<html>')],
    ['a list', bytesOf([])],
    ['cut short', bytesOf(image).subarray(0, -2)],
    ['with something behind it', Buffer.concat([bytesOf(image), Buffer.from('x')])],
    ['with a byte order mark', Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), bytesOf(image)])],
    ['image and index at once', bytesOf({ ...image, manifests: [] })],
    [
      'index and image at once',
      bytesOf({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [], layers: [] }),
    ],
    ['schema 1', bytesOf({ schemaVersion: 1, name: 'a', tag: 'b', fsLayers: [] })],
    ['of another kind', bytesOf({ ...image, mediaType: 'text/html' })],
    ['without a config', bytesOf({ ...image, config: undefined })],
    ['with a size that is none', bytesOf({ ...image, layers: [{ ...layer, size: -1 }] })],
    ['with a digest that is none', bytesOf({ ...image, layers: [{ ...layer, digest: 'sha256:../..' }] })],
    ['too large', Buffer.alloc(maxManifestBytes + 1, ' ')],
  ])('is refused: %s', (_, bytes) => {
    expect(() => parseManifest(bytes)).toThrow(expect.objectContaining({ code: 'MANIFEST_INVALID' }))
  })

  test('is refused when it was sent as something else than it says', () => {
    expect(() => parseManifest(bytesOf(image), mediaTypes.ociIndex)).toThrow(/was sent as/)
  })
  test.each([
    ['null', null],
    ['a word', 'sha256'],
    ['without a digest', { mediaType: 'm', size: 1 }],
  ])('from upstream is no part of another when its subject is %s', (_, subject) => {
    const parsed = parseManifest(bytesOf({ ...image, subject }))
    expect(parsed).toEqual(parseManifest(bytesOf(image)))
  })

  test('that is pushed names its subject as a descriptor, or has none', () => {
    const pushed = (subject: unknown) => parseManifest(bytesOf({ ...image, subject }), undefined, true)
    expect(() => pushed({ digest: 'sha256:../..' })).toThrow(
      expect.objectContaining({ code: 'MANIFEST_INVALID' }),
    )
    expect(pushed(null).refers).toBeUndefined()
    expect(pushed(layer).refers?.subject).toBe(layer.digest)
  })
})
