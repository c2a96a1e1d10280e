import { describe, expect, test } from 'vitest'
import { type Bound, verdictsOn } from '../../bench/support/requirement.ts'
import { formatSections } from '../../bench/support/sections-table.ts'

function samplesOf(server: string, values: readonly number[]) {
  return values.map((figure) => ({ server, values: { figure } }))
}

function verdictOn(required: Bound, own: readonly number[], reference: readonly number[] = []) {
  const columns = [{ key: 'figure', title: 'figure', digits: 1, required }]
  const samples = [...samplesOf('own', own), ...samplesOf('other', reference)]
  return { columns, samples, verdicts: verdictsOn(columns, samples, 'own', 'other') }
}

describe('a verdict', () => {
  const rows: [string, Bound, number[], number[], boolean][] = [
    ['by the worst round, not the median', { of: 'worst', atMost: 1 }, [0, 0, 2], [], false],
    ['by the least, where it is to be much', { of: 'worst', atLeast: 2 }, [3, 3, 1], [], false],
    ['by the median', { of: 'median', atMost: 1 }, [1, 1, 9], [], true],
    ['between two, too little', { of: 'worst', atLeast: 206, atMost: 206 }, [206, 200], [], false],
    ['between two, too much', { of: 'worst', atLeast: 206, atMost: 206 }, [206, 416], [], false],
    ['by the ratio in each round', { of: 'ratio', atMost: 1.3 }, [1, 20], [1, 20], true],
    ['against it', { of: 'ratio', atMost: 1.3 }, [1.4, 14], [1, 10], false],
    ['of a round without figures', { of: 'median', atMost: 1 }, [1, 1, Number.NaN], [], false],
    ['of a first byte that never came', { of: 'median', atMost: 1 }, [1, 1, Infinity], [], false],
    ['of a ratio with a round less', { of: 'ratio', atMost: 1.3 }, [1, Number.NaN], [1, 1], false],
  ]
  test.each(rows)('%s', (_, bound, own, reference, holds) => {
    expect(verdictOn(bound, own, reference).verdicts).toMatchObject([{ key: 'figure', holds }])
  })
})

test('a table of sections has servers side by side, requirements beside and what is known marked', () => {
  const { columns, samples, verdicts } = verdictOn({ of: 'worst', atMost: 1 }, [1, 2], [4, 4])
  const table = formatSections({
    title: 'a question',
    columns,
    samples,
    verdicts,
    reference: 'other',
    versions: {},
    notes: [],
    sections: [{ title: '1. what was done', keys: ['figure'] }],
    known: [{ server: 'third', values: { figure: 3 } }],
  })

  expect(table.split('\n')).toEqual([
    '          required  holds  own            other  third *',
    '1. what was done',
    '  figure  ≤ 1       NO     1.5 (1.0–2.0)  4.0    3.0',
  ])
})
