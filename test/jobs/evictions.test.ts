import { describe, expect, test } from 'vitest'
import { type EvictionRules, evictionsOf } from '../../src/jobs/evictions.ts'
import type { HeldRow, LinkOrigin } from '../../src/metadata/metadata.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { parsePattern } from '../../src/oci/pattern.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'

const digest = (at: number): Digest => digestOf(Buffer.from(String(at)))

function row(at: number, ...links: [repository: string, origin: LinkOrigin][]): HeldRow {
  const held = links.map(([name, origin]) => ({ repository: parseRepositoryName(name), origin }))
  return { digest: digest(at), size: 10, usedAt: at, links: held }
}

function going(rows: HeldRow[], rules: Partial<EvictionRules> = {}): number[] {
  const all = { bytes: 1000, unusedSince: Number.NEGATIVE_INFINITY, pins: [], isInUse: () => false, ...rules }
  return evictionsOf(rows, all).map(({ usedAt }) => usedAt)
}

const rows = [1, 2, 3, 4].map((at) => row(at, ['docker.io/library/app', 'filled']))

describe('of what was fetched', () => {
  test.each([
    [0, []],
    [1, [1]],
    [10, [1]],
    [11, [1, 2]],
    [1000, [1, 2, 3, 4]],
  ])('when %i bytes are wanted, as much goes as it takes', (bytes, expected) => {
    expect(going(rows, { bytes })).toEqual(expected)
  })

  test('what is older than allowed goes in any case', () => {
    expect(going(rows, { bytes: 0, unusedSince: 3 })).toEqual([1, 2])
    expect(going(rows, { bytes: 30, unusedSince: 2 })).toEqual([1, 2, 3])
  })

  test('what is in use stays, and others go for it', () => {
    expect(going(rows, { bytes: 20, isInUse: (of) => of === digest(1) })).toEqual([2, 3])
    expect(going(rows, { bytes: 0, unusedSince: 9, isInUse: (of) => of === digest(2) })).toEqual([1, 3, 4])
  })

  test('what one pinned repository holds stays', () => {
    const shared = row(2, ['docker.io/library/app', 'filled'], ['docker.io/library/base', 'filled'])
    expect(going([row(1), shared, row(3)], { pins: [parsePattern('library/base')] })).toEqual([1, 3])
    expect(going([row(1), shared, row(3)], { pins: [parsePattern('docker.io/**')] })).toEqual([1, 3])
    expect(going([row(1), shared], { pins: [parsePattern('base')] })).toEqual([1, 2])
  })
})

test.each([
  'pushed',
  'replicated',
  'mounted',
] as const)('what was %s stays, whoever else holds it', (origin) => {
  expect(going([row(1, ['team/app', origin]), row(2, ['a/b', 'filled'], ['team/app', origin])])).toEqual([])
})

test('what nobody holds goes', () => {
  expect(going([row(1)])).toEqual([1])
})
