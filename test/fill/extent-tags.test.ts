import { createCipheriv } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { createKey, extentBytes } from '../../src/blobs/extents.ts'
import { createExtentTags } from '../../src/fill/extent-tags.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'

const bytes = pseudoRandomBytes(2 * extentBytes + 1000, 'extents')
const key = createKey()
/** GMAC: of AES-GCM, the tag of what is only authenticated. */
function tagOf(extent: number): string {
  const mac = createCipheriv('aes-128-gcm', key, Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, extent]))
  mac.setAAD(bytes.subarray(extent * extentBytes, (extent + 1) * extentBytes)).final()
  return mac.getAuthTag().toString('hex')
}
const expected = { key, tags: [tagOf(0), tagOf(1), tagOf(2)] }

function* pieces(start: number, end: number, step: number): Generator<[number, Buffer]> {
  for (let at = start; at < end; at += step) yield [at, bytes.subarray(at, Math.min(end, at + step))]
}

describe('extents have their tags', () => {
  test('however the bytes are cut', () => {
    const tags = createExtentTags({ key, tags: [] })
    for (const [at, piece] of pieces(0, bytes.length, 700_001)) tags.update(at, piece)
    expect(tags.all()).toEqual(expected)
  })

  test('in any order, when what did not follow is shown again', () => {
    const tags = createExtentTags({ key, tags: [] })
    for (const [at, piece] of pieces(extentBytes, 2 * extentBytes, 65_536)) tags.update(at, piece)
    for (const [at, piece] of pieces(100_000, extentBytes, 65_536)) tags.update(at, piece)
    for (const [at, piece] of pieces(0, 200_000, 65_536)) tags.update(at, piece)
    for (const [at, piece] of pieces(0, bytes.length, 333_333)) tags.update(at, piece)
    expect(tags.all()).toEqual(expected)
  })

  test('each as soon as it is whole', () => {
    const tags = createExtentTags({ key, tags: [] })
    tags.update(extentBytes, bytes.subarray(extentBytes, 2 * extentBytes + 5))
    expect(tags.takeMarks()).toEqual([{ extent: 1, hex: tagOf(1) }])
    tags.update(0, bytes.subarray(0, extentBytes))
    expect(tags.takeMarks()).toEqual([{ extent: 0, hex: tagOf(0) }])
    expect(tags.takeMarks()).toEqual([])
  })

  test('those of an earlier time too, whose bytes are not shown again', () => {
    const tags = createExtentTags({ key, tags: [tagOf(0), undefined, undefined] })
    tags.update(extentBytes, bytes.subarray(extentBytes))
    expect(tags.all()).toEqual(expected)
  })
})
