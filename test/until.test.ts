import { describe, expect, test } from 'vitest'
import { parseUntil } from '../src/cli/until.ts'

const now = new Date(2026, 10, 26, 22, 15, 30)

test.each([
  ['08:00', new Date(2026, 10, 27, 8, 0)],
  ['8:00', new Date(2026, 10, 27, 8, 0)],
  ['22:16', new Date(2026, 10, 26, 22, 16)],
  ['22:15', new Date(2026, 10, 27, 22, 15)],
  ['00:00', new Date(2026, 10, 27, 0, 0)],
  ['2026-11-27T06:30', new Date(2026, 10, 27, 6, 30)],
  ['2026-11-27 06:30', new Date(2026, 10, 27, 6, 30)],
  ['2026-12-01T06:30:00Z', new Date(Date.UTC(2026, 11, 1, 6, 30))],
  ['2026-12-01T06:30:00+02:00', new Date(Date.UTC(2026, 11, 1, 4, 30))],
])('%s is the next such time', (text, at) => {
  expect(parseUntil(text, now)).toEqual(at)
})

describe('is no time to stop at', () => {
  test.each([
    '',
    '24:00',
    '8:60',
    '8',
    '08:00:00',
    'tomorrow',
    '2026-11-27',
    '2026-13-01T00:00',
    '1h',
  ])('%j', (text) => {
    expect(() => parseUntil(text, now)).toThrow('a time such as 08:00 or 2026-11-27T08:00')
  })

  test('what is over', () => {
    expect(() => parseUntil('2026-11-26T22:15', now)).toThrow('a time that is still to come')
  })
})
