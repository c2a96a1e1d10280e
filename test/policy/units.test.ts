import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  durationPattern,
  parseDuration,
  parsePercentage,
  parseRate,
  parseSize,
  percentagePattern,
  ratePattern,
  sizePattern,
} from '../../src/policy/units.ts'

describe('what people write', () => {
  test.each([
    ['300ms', 300],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['7d', 604_800_000],
    ['2w', 1_209_600_000],
    ['1.5 h', 5_400_000],
    ['0s', 0],
  ])('the duration %s', (text, ms) => expect(parseDuration(text)).toBe(ms))

  test.each([
    ['200GiB', 200 * 2 ** 30],
    ['64 MiB', 64 * 2 ** 20],
    ['20MB', 20_000_000],
    ['1.5kB', 1500],
    ['1KB', 1000],
    ['7B', 7],
  ])('the size %s', (text, bytes) => expect(parseSize(text)).toBe(bytes))

  test.each([
    ['20MiB/s', 20 * 2 ** 20],
    ['1.5 MB/s', 1_500_000],
    ['100Mbit/s', 12_500_000],
  ])('the rate %s', (text, bytes) => expect(parseRate(text)).toBe(bytes))

  test.each([
    ['80%', 0.8],
    ['80 %', 0.8],
    ['100%', 1],
    ['0.5%', 0.005],
  ])('the percentage %s', (text, fraction) => expect(parsePercentage(text)).toBe(fraction))
})

test.each([
  [
    parseDuration,
    [
      '',
      '5',
      'm',
      '5 minuts',
      '-5m',
      '5M',
      '1h30m',
      ' 5m',
      '5m ',
      '1e3s',
      '5constructor',
      `${'9'.repeat(15)}w`,
    ],
  ],
  [parseSize, ['200', '200G', '200gib', '-1MiB', '1,5MiB', '20MiB/s', `${'9'.repeat(12)}PiB`]],
  [parseRate, ['20MiB', '20', '0B/s', '20MiB/m', '20 Mbit']],
  [parsePercentage, ['80', '0%', '101%', '%', '-1%', '0.8']],
])('%o refuses what is not its own', (parse, texts) => {
  for (const text of texts) expect(() => parse(text), text).toThrow(SyntaxError)
})

test('an editor with the schema accepts nothing that the parser refuses, but for amounts beyond all bounds', () => {
  const amounts = fc.stringMatching(/^[0-9]{1,3}(\.[0-9]{1,2})?$/)
  const blanks = fc.constantFrom('', ' ', '  ')
  const units = fc.constantFrom(
    'ms',
    's',
    'M',
    'd',
    'w',
    'B',
    'kB',
    'KB',
    'GiB',
    'EB',
    '%',
    'GiB/s',
    'Mbit/s',
    'bit/s',
    '',
  )
  const parsers: [string, (text: string) => number][] = [
    [durationPattern, parseDuration],
    [sizePattern, parseSize],
    [ratePattern, parseRate],
    [percentagePattern, parsePercentage],
  ]
  fc.assert(
    fc.property(
      amounts,
      blanks,
      units,
      fc.constantFrom(...parsers),
      (amount, blank, unit, [pattern, parse]) => {
        const text = amount + blank + unit
        const isOutOfRange =
          pattern === percentagePattern ? Number(amount) > 100 || !Number(amount) : !Number(amount)
        fc.pre(!isOutOfRange)
        expect(accepts(parse, text)).toBe(new RegExp(pattern).test(text))
      },
    ),
  )
})

function accepts(parse: (text: string) => number, text: string): boolean {
  try {
    return parse(text) >= 0
  } catch {
    return false
  }
}
