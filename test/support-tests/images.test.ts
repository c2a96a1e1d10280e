import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { gunzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import {
  blobBytesOf,
  blobsOf,
  buildImage,
  buildIndex,
  buildReferrer,
  type Content,
} from '../support/images.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { tarOf } from '../support/tar.ts'
import { describeWith, toolPath } from '../support/tools.ts'

const sha256 = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`
const bodyOf = ({ bytes }: Content) => JSON.parse(bytes.toString())

describe('an image', () => {
  const image = buildImage({ layers: [1000, 70_000], seed: 'a', platform: 'linux/arm64/v8' })

  test('has a manifest that describes its blobs as they are', () => {
    const { config, layers } = bodyOf(image.manifest)
    const described = [config, ...layers].map(({ digest, size }) => ({ digest, size }))

    expect(described).toEqual(
      blobsOf(image).map(({ bytes }) => ({ digest: sha256(bytes), size: bytes.length })),
    )
    expect(image.manifest.digest).toBe(sha256(image.manifest.bytes))
  })

  test('has a config that names the platform and the unpacked layers', () => {
    const { os, architecture, variant, rootfs } = bodyOf(image.config)

    expect({ os, architecture, variant }).toEqual({ os: 'linux', architecture: 'arm64', variant: 'v8' })
    expect(rootfs.diff_ids).toEqual(image.layers.map(({ bytes }) => sha256(gunzipSync(bytes))))
  })

  test('is the same for the same seed, and another for another', () => {
    const again = buildImage({ layers: [1000, 70_000], seed: 'a', platform: 'linux/arm64/v8' })
    const other = buildImage({ layers: [1000, 70_000], seed: 'b', platform: 'linux/arm64/v8' })

    expect(again.manifest.digest).toBe(image.manifest.digest)
    expect(blobsOf(other).map(({ digest }) => digest)).not.toContain(image.layers[0]?.digest)
  })

  test('can be addressed by sha512', () => {
    const long = buildImage({ layers: [10], algorithms: { blobs: 'sha512', manifest: 'sha512' } })
    const digest = createHash('sha512').update(long.manifest.bytes).digest('hex')

    expect(long.manifest.digest).toBe(`sha512:${digest}`)
    expect(bodyOf(long.manifest).layers[0].digest).toMatch(/^sha512:[0-9a-f]{128}$/)
  })

  test('counts a blob that it has twice once', () => {
    const layer = { ...image, layers: [...image.layers, ...image.layers] }

    expect(blobBytesOf(layer)).toBe(blobBytesOf(image))
  })
})

test('a docker image and its list have the types of schema 2', () => {
  const image = buildImage({ layers: [10], format: 'docker', compression: 'none' })
  const list = buildIndex([{ image }, { image, platform: 'linux/arm/v7' }], { format: 'docker' })

  expect(image.manifest.mediaType).toBe('application/vnd.docker.distribution.manifest.v2+json')
  expect(image.layers[0]?.mediaType).toBe('application/vnd.docker.image.rootfs.diff.tar')
  expect(list.manifest.mediaType).toBe('application/vnd.docker.distribution.manifest.list.v2+json')
  expect(bodyOf(list.manifest).manifests.map(({ platform }: { platform: object }) => platform)).toEqual([
    { os: 'linux', architecture: 'amd64' },
    { os: 'linux', architecture: 'arm', variant: 'v7' },
  ])
})

test('a referrer points to its subject', () => {
  const { manifest } = buildImage({ layers: [10] })
  const referrer = buildReferrer({
    subject: manifest,
    artifactType: 'text/x-note',
    bytes: Buffer.from('hello'),
  })

  expect(bodyOf(referrer.manifest)).toMatchObject({
    artifactType: 'text/x-note',
    subject: { digest: manifest.digest, size: manifest.bytes.length },
  })
})

describeWith(['tar'], 'for tar', () => {
  test('an archive is one that tar reads', () => {
    const files = [512, 1, 70_000, 0].map((size) => ({
      name: `f${size}`,
      bytes: pseudoRandomBytes(size, `${size}`),
    }))
    const archive = tarOf(files)

    const listing = execFileSync(toolPath('tar'), ['-tvf', '-'], { input: archive })
      .toString()
      .trim()
      .split('\n')
    const third = execFileSync(toolPath('tar'), ['-xOf', '-', 'f70000'], { input: archive })

    expect(listing.map((line) => line.split(/\s+/)[2])).toEqual(['512', '1', '70000', '0'])
    expect(third).toEqual(files[2]?.bytes)
  })
})
