import * as z from 'zod'
import { duration, flag, mapping } from './fields.ts'

const leastMs = 1_000
const anInterval = 'a duration such as 1d, from 1s on, or false'

/** When what was pushed and nothing needs any more goes: in Harbor's words schedule, time window and delete untagged. */
export const gcDocument = mapping({
  kind: z.literal('gc'),
  every: z
    .union(
      [
        duration.refine((ms) => ms >= leastMs, { error: anInterval }),
        flag.refine((value) => !value, { error: anInterval }),
      ],
      { error: anInterval },
    )
    .prefault('1d')
    .describe('How often; false: only when `outport gc` says so'),
  grace: duration
    .prefault('1d')
    .describe('What was pushed, mounted or asked for since stays: longer than a push may take'),
  untagged: duration
    .optional()
    .describe('Manifests without a tag go when nobody has pushed, tagged or asked for them for so long'),
})

export type GcDocument = z.output<typeof gcDocument>
