import fc from 'fast-check'
import { expect, test } from 'vitest'
import { topKeysOf } from '../../src/oci/top-keys.ts'

test.each([
  ['{}', []],
  [' {\n"a" :1 , "b":{"c":2},"d":[{"e":[]}],"a":"f"}', ['a', 'b', 'd', 'a']],
  ['{"a\\"b":"\\\\","c\\\\":"}\\"","\\u006cayers":"{"}', ['a"b', 'c\\', 'layers']],
  ['{"a":"b","":0}', ['a', '']],
])('%s', (json, keys) => {
  expect([...topKeysOf(json)]).toEqual(keys)
})

test('are found in whatever is written by JSON.stringify', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.constantFrom(0, 3), (object, indent) => {
      const json = JSON.stringify(object, null, indent)
      expect([...topKeysOf(json)]).toEqual(Object.keys(JSON.parse(json)))
    }),
  )
})
