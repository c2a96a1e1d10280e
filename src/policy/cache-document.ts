import * as z from 'zod'
import { count, duration, flag, list, mapping, pattern, percentage, rate, size } from './fields.ts'

const sizeOrPercentage = z.union(
  [
    percentage.transform((ofDisk) => ({ kind: 'fraction' as const, ofDisk })),
    size.transform((bytes) => ({ kind: 'bytes' as const, bytes })),
  ],
  { error: 'a size such as 200GiB or a percentage of the disk such as 80%' },
)

/** What the site keeps of what it fetched. */
export const cacheDocument = mapping({
  kind: z.literal('cache'),
  budget: sizeOrPercentage.prefault('80%').describe('How much it may hold'),
  high: percentage.prefault('95%').describe('Of the budget: where eviction begins'),
  low: percentage.prefault('85%').describe('Of the budget: where eviction ends'),
  reserve: percentage.prefault('5%').describe('Of the disk: what always stays free'),
  maxAge: duration.optional().describe('Evict what was not used for so long'),
  pins: list(pattern, 'a list of patterns')
    .prefault([])
    .describe('Repositories that are never evicted, as their project has them or with its name before'),
  fills: mapping({
    all: count(1, 4096).prefault(64).describe('Of the whole site'),
    perUpstream: count(1, 4096).prefault(32).describe('From one registry'),
    perClient: count(1, 4096).prefault(16).describe('For one client'),
  })
    .prefault({})
    .describe('How many blobs are fetched at a time'),
  scrub: z
    .union([flag, mapping({ every: duration.prefault('30d'), rate: rate.prefault('16MiB/s') })], {
      error: 'true, false or { every, rate }',
    })
    .prefault(true)
    .describe('How often the bytes of everything that is kept are read, and how fast, to find and mend rot'),
  memory: size.prefault('64MiB').describe('For manifests and small blobs'),
}).superRefine(({ high, low }, context) => {
  if (low >= high)
    context.addIssue({ code: 'custom', path: ['low'], message: 'a percentage below that of high' })
})

export type CacheDocument = z.output<typeof cacheDocument>
