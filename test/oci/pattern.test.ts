import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parsePattern } from '../../src/oci/pattern.ts'

describe('a pattern', () => {
  test.each([
    ['library/**', 'library/nginx', true],
    ['library/**', 'library/a/b/c', true],
    ['library/**', 'library', false],
    ['library/*', 'library/a/b', false],
    ['*', 'nginx', true],
    ['*', 'library/nginx', false],
    ['**', 'library/nginx', true],
    ['v?.*', 'v1.2.3', true],
    ['v?.*', 'v12', false],
    ['{alpine,debian}-*', 'debian-12', true],
    ['{alpine,debian}-*', 'ubuntu-24', false],
    ['a{,b}', 'a', true],
    ['**/x', 'a/b/x', true],
    ['a**b', 'ab', true],
    ['latest', 'latest', true],
    ['latest', 'latest2', false],
  ])('%s on %s: %s', (pattern, text, matches) => {
    expect(parsePattern(pattern)(text)).toBe(matches)
  })

  test.each([
    '',
    '{',
    '}',
    'a{b',
    '{a{b}}',
    `{${'a,'.repeat(70)}}`,
    'x'.repeat(257),
    '{a,b}'.repeat(7),
  ])('that cannot be: %s', (pattern) => {
    expect(() => parsePattern(pattern)).toThrow(SyntaxError)
  })

  test('matches itself when it has no special character', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z0-9/._-]{1,50}$/), (text) => {
        expect(parsePattern(text)(text)).toBe(true)
      }),
    )
  })

  test('of many stars takes no exponential time', () => {
    const matches = parsePattern(`${'**/'.repeat(60)}x`)
    expect(matches(`${'a/'.repeat(120)}y`)).toBe(false)
  })
})
