import { expect, test } from 'vitest'
import { parseAccessLog, parseLogLevels, parseSlowRequest } from '../../src/config/logging.ts'
import { logParts } from '../../src/log.ts'

test.each([
  ['warn', { rest: 'warn', parts: {} }],
  ['fill=trace', { rest: 'info', parts: { fill: 'trace' } }],
  ['upstream=debug, error ,admin=silent', { rest: 'error', parts: { upstream: 'debug', admin: 'silent' } }],
])('levels: %s', (text, levels) => {
  expect(parseLogLevels(text)).toEqual(levels)
})

test.each([
  'loud',
  'fill',
  'disk=debug',
  'fill=loud',
  'info,warn',
  'fill=info,fill=warn',
  'fill=',
  '=info',
  'a=b=c',
  'info,',
  'toString=info',
])('no levels: %s, and the error names every part', (text) => {
  for (const part of logParts) expect(() => parseLogLevels(text)).toThrow(part)
})

test('answers to log', () => {
  expect(['all', 'errors', '1/1', '1/100'].map(parseAccessLog)).toEqual(
    [1, 0, 1, 100].map((oneIn) => ({ oneIn })),
  )
  for (const text of ['none', '1/0', '2/3', '0.5', '1/', '1/1e3', '1/-5', '1/99999999999'])
    expect(() => parseAccessLog(text)).toThrow('a fraction such as 1/100')
})

test('what is slow', () => {
  expect(['10s', '250ms', 'off'].map(parseSlowRequest)).toEqual([10_000, 250, Number.POSITIVE_INFINITY])
  expect(() => parseSlowRequest('10')).toThrow('or off')
})
