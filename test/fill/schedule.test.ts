import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createCoverage, type Span } from '../../src/fill/coverage.ts'
import { type Claim, nextSpan, type ScheduleRules } from '../../src/fill/schedule.ts'
import { divisionOf } from '../../src/fill/segments.ts'

const rules: ScheduleRules = {
  parallel: 1,
  most: 4,
  segmentBytes: Number.POSITIVE_INFINITY,
  unitBytes: 5,
  soonBytes: 10,
}

function next(
  scene: { landed?: Span[]; claims?: Claim[]; wants?: number[]; size?: number },
  changes: Partial<ScheduleRules> = {},
): Span | undefined {
  const coverage = createCoverage()
  for (const span of scene.landed ?? []) coverage.add(span)
  const { claims = [], wants = [], size = 100 } = scene
  return nextSpan({ coverage, size, claims, wants }, { ...rules, ...changes })
}

describe('the next connection brings', () => {
  test('the whole, when nothing is there', () => {
    expect(next({})).toEqual({ start: 0, end: 100 })
  })
  test('the first gap, up to what is there', () => {
    expect(
      next({
        landed: [
          { start: 0, end: 20 },
          { start: 60, end: 70 },
        ],
      }),
    ).toEqual({ start: 20, end: 60 })
  })
  test('nothing, while one brings the rest', () => {
    expect(next({ claims: [{ start: 0, position: 0, end: 100 }] })).toBeUndefined()
  })
  test('what a reader waits for far ahead, and leaves the rest to who brings it', () => {
    const claims = [{ start: 0, position: 5, end: 100 }]
    expect(next({ claims, wants: [70] })).toEqual({ start: 70, end: 100 })
  })
  test('nothing for a reader that will soon be reached', () => {
    expect(next({ claims: [{ start: 0, position: 5, end: 100 }], wants: [15] })).toBeUndefined()
  })
  test('nothing for a reader whose bytes are there, held back or beyond the end', () => {
    const landed = [{ start: 90, end: 100 }]
    expect(
      next({ landed, claims: [{ start: 0, position: 5, end: 90 }], wants: [95, 100, 200] }),
    ).toBeUndefined()
  })
  test('no more than so many at a time, whoever waits', () => {
    const claims = [0, 20, 40, 60].map((position) => ({ start: position, position, end: position + 20 }))
    expect(next({ claims, wants: [90] })).toBeUndefined()
  })
  test('a segment of what one connection alone was to bring', () => {
    const claims = [{ start: 0, position: 5, end: 100 }]
    expect(next({ claims }, { parallel: 3, segmentBytes: 20 })).toEqual({ start: 25, end: 45 })
  })
  test('the next segment', () => {
    const claims = [{ start: 0, position: 3, end: 20 }]
    expect(next({ claims }, { parallel: 3, segmentBytes: 20 })).toEqual({ start: 20, end: 40 })
  })
})

test('whatever is asked for, everything comes, and nothing twice', () => {
  const want = fc.integer({ min: 0, max: 120 })
  const turn = fc.record({
    wants: fc.array(want, { maxLength: 5 }),
    steps: fc.array(fc.nat(50), { maxLength: 4 }),
  })
  fc.assert(
    fc.property(fc.array(turn, { maxLength: 40 }), fc.integer({ min: 1, max: 4 }), (turns, parallel) => {
      const size = 100
      const coverage = createCoverage()
      let claims: { start: number; position: number; end: number }[] = []
      let brought = 0
      const last = Array.from({ length: 200 }, () => ({ wants: [], steps: [7, 7, 7, 7] }))
      for (const { wants, steps } of [...turns, ...last]) {
        for (;;) {
          const span = nextSpan({ coverage, size, claims, wants }, { ...rules, parallel, segmentBytes: 20 })
          if (!span) break
          expect(span.end).toBeGreaterThan(span.start)
          for (const claim of claims)
            if (claim.start < span.start && span.start < claim.end) claim.end = span.start
          claims.push({ ...span, position: span.start })
        }
        for (const [index, step] of steps.entries()) {
          const claim = claims[index]
          if (!claim) continue
          // What came the last time lands now.
          coverage.add({ start: claim.start, end: claim.position })
          const end = Math.min(claim.end, claim.position + step)
          brought += end - claim.position
          claim.position = end
        }
        for (const { start, end } of claims.filter(({ position, end }) => position >= end))
          coverage.add({ start, end })
        claims = claims.filter(({ position, end }) => position < end)
      }
      expect(coverage.bytes).toBe(size)
      expect(brought).toBe(size)
    }),
  )
})

describe('a blob is fetched over', () => {
  const mebibyte = 1024 * 1024
  test.each<[string, Parameters<typeof divisionOf>[0], number, number]>([
    [
      'one connection, where the registry is near',
      { segments: 'auto', latencyMs: 5, rate: mebibyte },
      512,
      1,
    ],
    [
      'one, while nothing is known of the line',
      { segments: 'auto', latencyMs: undefined, rate: undefined },
      512,
      1,
    ],
    ['several over a long line', { segments: 'auto', latencyMs: 100, rate: 8 * mebibyte }, 512, 6],
    [
      'one over a long line, until its speed is known',
      { segments: 'auto', latencyMs: 100, rate: undefined },
      512,
      1,
    ],
    ['as many as are worth while', { segments: 'auto', latencyMs: 100, rate: 100 * mebibyte }, 512, 3],
    ['one, when it is small', { segments: 'auto', latencyMs: 100, rate: undefined }, 8, 1],
    ['as many as the document says', { segments: 4, latencyMs: 1, rate: undefined }, 512, 4],
    ['one, when the document says so', { segments: 1, latencyMs: 100, rate: mebibyte }, 512, 1],
  ])('%s', (_, line, size, parallel) => {
    expect(divisionOf(line, size * mebibyte).parallel).toBe(parallel)
  })
})
