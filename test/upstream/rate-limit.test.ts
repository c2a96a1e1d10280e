import { expect, test } from 'vitest'
import { type RateStatement, rateStatementOf } from '../../src/upstream/rate-limit.ts'

const now = 1_800_000_000_000

test.each<[string, Record<string, string>, RateStatement | undefined]>([
  [
    'Docker Hub',
    { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '76;w=21600' },
    { limit: 100, remaining: 76, windowMs: 21_600_000 },
  ],
  [
    'the draft up to 06',
    {
      'ratelimit-limit': '10, 10;w=60;burst=20, 50;w=3600',
      'ratelimit-remaining': '9',
      'ratelimit-reset': '50',
    },
    { limit: 10, remaining: 9, windowMs: 60_000, resetMs: 50_000 },
  ],
  [
    'the draft 07',
    { ratelimit: 'limit=100, remaining=0, reset=5', 'ratelimit-policy': '100;w=60' },
    { limit: 100, remaining: 0, windowMs: 60_000, resetMs: 5_000 },
  ],
  ['the draft from 08 on', { ratelimit: '"default";r=50;t=30' }, { remaining: 50, resetMs: 30_000 }],
  [
    'several limits, of which the least counts',
    {
      ratelimit: '"burst";r=2;t=1, "daily";r=1;t=3600',
      'ratelimit-policy': '"daily";q=1000;w=86400, "burst";q=5;w=1',
    },
    { limit: 1000, remaining: 1, windowMs: 86_400_000, resetMs: 3_600_000 },
  ],
  [
    'GitHub, which says a time of day',
    {
      'x-ratelimit-limit': '60',
      'x-ratelimit-remaining': '58',
      'x-ratelimit-reset': String(now / 1000 + 90),
    },
    { limit: 60, remaining: 58, resetMs: 90_000 },
  ],
  [
    'a reset that is past',
    { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '1500000000' },
    { remaining: 0, resetMs: 0 },
  ],
  ['nobody', {}, undefined],
  ['somebody without a number', { 'ratelimit-remaining': 'lots', ratelimit: 'unlimited' }, undefined],
  ['somebody below zero', { 'ratelimit-remaining': '-1' }, undefined],
  ['a limit alone', { 'ratelimit-limit': '100;w=21600' }, undefined],
])('as %s says it', (_, headers, expected) => {
  expect(rateStatementOf(headers, now)).toEqual(expected)
})
