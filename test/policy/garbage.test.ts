import fc from 'fast-check'
import { expect, test } from 'vitest'
import { stringify } from 'yaml'
import { kinds } from '../../src/policy/kinds.ts'
import { formatProblem, formatWarning } from '../../src/policy/problem.ts'
import { fieldsAt, schemaOf } from '../../src/policy/schema.ts'
import { type PolicyFolder, policyFolder } from './policy-folder.ts'

const words = [
  'docker-hub',
  'docker.io',
  '5m',
  '80%',
  '200GiB',
  '20MiB/s',
  'https://a.io',
  '**',
  'never',
  'auto',
  'latest',
]
const fields = [
  ...new Set(Object.values(kinds).flatMap((kind) => fieldsAt(schemaOf(kind), []))),
  ...[
    'registry',
    'path',
    'tag',
    'for',
    'when',
    'env',
    'file',
    'username',
    'password',
    'head',
    'days',
    'from',
    '__proto__',
  ],
]

/** Values that are nearly right, so that they get far. */
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    fc.constantFrom(...words),
    fc.jsonValue({ maxDepth: 1 }),
    fc.string({ unit: 'binary', maxLength: 10 }),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...fields), tie('value'), { maxKeys: 4 }),
  ),
}))
const body = fc.dictionary(fc.constantFrom(...fields), value, { maxKeys: 10 })
const document = fc
  .tuple(fc.constantFrom(...Object.keys(kinds)), body)
  .map(([kind, rest]) => ({ ...rest, kind }))

async function isAnswered(folder: PolicyFolder, text: string | Buffer): Promise<void> {
  await folder.write('a.yaml', text)
  const loaded = await folder.load()
  const said = 'site' in loaded ? loaded.warnings.map(formatWarning) : loaded.problems.map(formatProblem)
  if ('problems' in loaded) expect(said.length).toBeGreaterThan(0)
  for (const line of said) {
    expect(line).toMatch(/^\S.*/)
    expect(line).not.toMatch(/undefined|NaN|Invalid input|\[object/)
  }
}

test('documents that are nearly right end in a site or in problems', async () => {
  await using folder = await policyFolder({})
  await fc.assert(
    fc.asyncProperty(fc.array(document, { maxLength: 3 }), (documents) =>
      isAnswered(folder, documents.map((each) => `---\n${stringify(each)}`).join('')),
    ),
    { numRuns: 150 },
  )
})

test('any text ends in a site or in problems', async () => {
  await using folder = await policyFolder({})
  const piece = fc.constantFrom(
    ...words,
    ...fields,
    ': ',
    '\n',
    '  ',
    '- ',
    '[',
    ']',
    '{',
    '}',
    '&a ',
    '*a',
    '!t ',
    '|',
    '"',
    "'",
    '#',
    '---\n',
    '%',
    '\t',
    '? ',
  )
  const text = fc.oneof(
    fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join('')),
    fc.string({ unit: 'binary' }),
  )
  await fc.assert(
    fc.asyncProperty(text, (each) => isAnswered(folder, each)),
    { numRuns: 300 },
  )
})

test('any bytes end in a site or in problems', async () => {
  await using folder = await policyFolder({})
  const bytes = fc.uint8Array({ maxLength: 200 }).map((each) => Buffer.from(each))
  await fc.assert(
    fc.asyncProperty(bytes, (each) => isAnswered(folder, each)),
    { numRuns: 100 },
  )
})
