import fc from 'fast-check'
import { expect, test } from 'vitest'
import { topKeysOf } from '../../src/oci/top-keys.ts'

test.each([
  ['{}', []],
  [' {\n"a" :1 , "b":{"c":2},"d":[{"e":[]}],"a":"f"}', ['a', 'b', 'd', 'a']],
  ['{"a\\"b":"\\\\","c\\\\":"}\\"","\\u006cayers":"{"}', ['a"b', 'c\\', 'layers']],
  ['{"a":"b","":0}', ['a', '']],
])('%s', (json, keys) => {
  expect([...topKeysOf(json, 100)]).toEqual(keys)
})

test('are found in whatever is written by JSON.stringify', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.constantFrom(0, 3), (object, indent) => {
      const json = JSON.stringify(object, null, indent)
      expect([...topKeysOf(json, 100)]).toEqual(Object.keys(JSON.parse(json)))
    }),
  )
})

test.each([
  '',
  '"',
  '{"a',
  '{"a\\"',
  '}}}',
  '{"a":1',
  '{"a":"b\\\\":',
  '{"\u0000":1}',
])('what is no JSON is passed over or told: %j', (json) => {
  expect(() => JSON.parse(json)).toThrow()
  const read = () => [...topKeysOf(json, 100)]
  try {
    expect(read()).toEqual(expect.any(Array))
  } catch (error) {
    expect(error).toBeInstanceOf(SyntaxError)
  }
})

test('what is nested too deeply is refused as soon as that is known', () => {
  const nested = (depth: number) => `{"a":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`
  expect([...topKeysOf(nested(100), 100)]).toEqual(['a'])
  expect(() => [...topKeysOf(nested(101), 100)]).toThrow('nested deeper than 100')
})

test('are read to an end, whatever it is', () => {
  const pieces = fc.array(fc.constantFrom('{', '}', '[', ']', '"', '\\', ':', ',', ' ', 'a', '1'), {
    maxLength: 12,
  })
  fc.assert(
    fc.property(pieces, (text) => {
      try {
        for (const key of topKeysOf(text.join(''), 100)) expect(key).toEqual(expect.any(String))
      } catch (error) {
        expect(error).toBeInstanceOf(SyntaxError)
      }
    }),
    { numRuns: 2000 },
  )
})
