import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createTroubles, type Finding } from '../../src/flow/troubles.ts'

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse('2026-11-26T08:00:00Z') })
})
afterEach(() => {
  vi.useRealTimers()
})

function follow(findings: () => Finding[]) {
  const said: string[] = []
  const troubles = createTroubles({
    sources: [findings, () => []],
    onBegun: ({ code }) => said.push(`begun ${code}`),
    onOver: ({ code, since }) => said.push(`over ${code} ${since}`),
  })
  return { ...troubles, said }
}

const down = (about: string): Finding => ({ code: 'upstream-down', about, message: `${about} is down` })

test('a trouble has begun when it was first found, although nobody asked', () => {
  let found: Finding[] = []
  const { all, said } = follow(() => found)
  expect(all()).toEqual([])
  found = [down('hub')]
  vi.advanceTimersByTime(10_000)
  found = [down('quay'), down('hub')]
  vi.advanceTimersByTime(10_000)
  expect(all()).toEqual([
    { ...down('hub'), since: '2026-11-26T08:00:01.000Z' },
    { ...down('quay'), since: '2026-11-26T08:00:11.000Z' },
  ])
  expect(said).toEqual(['begun upstream-down', 'begun upstream-down'])
})

test('what is over and comes again has begun anew', () => {
  let found = [down('hub')]
  const { all, said } = follow(() => found)
  all()
  found = []
  vi.advanceTimersByTime(5_000)
  found = [down('hub')]
  expect(all()).toEqual([{ ...down('hub'), since: '2026-11-26T08:00:05.000Z' }])
  expect(said).toContain('over upstream-down 2026-11-26T08:00:00.000Z')
})

test('a source may know better when it began, and its words may change meanwhile', () => {
  let message = 'ends in two days'
  const { all } = follow(() => [{ code: 'certificate-ending-soon', since: 0, message }])
  expect(all()).toMatchObject([{ since: '1970-01-01T00:00:00.000Z', message }])
  message = 'ends tomorrow'
  expect(all()).toMatchObject([{ since: '1970-01-01T00:00:00.000Z', message: 'ends tomorrow' }])
})
