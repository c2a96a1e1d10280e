import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseChallenges } from '../../src/upstream/challenge.ts'

function plain(header: string | string[] | undefined) {
  return parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)])
}

describe('WWW-Authenticate', () => {
  test.each<[string, string | string[] | undefined, unknown]>([
    ['nothing', undefined, []],
    ['an empty header', '', []],
    [
      'one challenge',
      'Bearer realm="https://auth/token",service="S",scope="repository:a/b:pull,push"',
      [['bearer', { realm: 'https://auth/token', service: 'S', scope: 'repository:a/b:pull,push' }]],
    ],
    ['any case, odd spaces', 'BEARER  Realm = "r" ,SERVICE=s', [['bearer', { realm: 'r', service: 's' }]]],
    ['escapes in quoted strings', 'Basic realm="a \\"b\\" \\\\ c"', [['basic', { realm: 'a "b" \\ c' }]]],
    [
      'several in one header',
      'Basic realm="x, Bearer realm=y", Bearer realm="z",service=s, Negotiate',
      [
        ['basic', { realm: 'x, Bearer realm=y' }],
        ['bearer', { realm: 'z', service: 's' }],
        ['negotiate', {}],
      ],
    ],
    [
      'several headers',
      ['Bearer realm="a"', 'Basic realm="b"'],
      [
        ['bearer', { realm: 'a' }],
        ['basic', { realm: 'b' }],
      ],
    ],
    ['the first of two equal names', 'Bearer realm="a",realm="b"', [['bearer', { realm: 'a' }]]],
    ['a parameter before any scheme', 'realm="a"', []],
    [
      'a quote that never ends',
      'Bearer realm="a',
      [
        ['bearer', {}],
        ['realm', {}],
        ['a', {}],
      ],
    ],
  ])('%s', (_, header, expected) => {
    expect(plain(header)).toEqual(expected)
  })

  test('of any text is read without failing, and gives back what was quoted', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary-ascii' }),
        fc.string({ unit: 'binary-ascii' }),
        (noise, value) => {
          parseChallenges(noise)
          const quoted = value.replaceAll(/[\r\n]/g, ' ')
          const [challenge] = parseChallenges(`Bearer realm="${quoted.replaceAll(/["\\]/g, '\\$&')}"`)
          expect(challenge?.parameters.get('realm')).toBe(quoted)
        },
      ),
    )
  })
})
