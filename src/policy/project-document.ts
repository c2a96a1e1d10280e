import * as z from 'zod'
import { aPlatform, parsePlatform, platformPattern } from '../oci/platform.ts'
import { isRepositoryName } from '../oci/reference.ts'
import { duration, flag, list, mapping, name, oneOf, pattern, projectName, text } from './fields.ts'

const aPath = 'a path such as team or team/base, without slashes at its ends'

const path = text(aPath, (value) => {
  if (value !== '' && !isRepositoryName(value)) throw new SyntaxError(aPath)
  return value
})

const wholeRegistry = name.transform((registry) => ({ registry, path: '' }))

const platform = text(aPlatform, parsePlatform, platformPattern)

/** What repositories live under, and what the first component of their names is. */
export const projectDocument = mapping({
  kind: z.literal('project'),
  name: projectName,
  proxy: z
    .union([wholeRegistry, mapping({ registry: name, path: path.prefault('') })], {
      error: 'the name of a registry, or { registry, path }',
    })
    .optional()
    .describe('The registry that this project mirrors, or a path of it; absent: hosted here'),
  push: flag
    .optional()
    .describe(
      'Default: true without proxy, false with it; with both, own content goes before that of the registry',
    ),
  shadow: list(pattern, 'a list of patterns such as v*-acme')
    .min(1, { error: 'a list of at least one pattern' })
    .optional()
    .describe('With proxy and push: the tags that may be pushed. Default: all'),
  public: z
    .union([flag, list(pattern, 'a list').min(1, { error: 'a list of at least one pattern' })], {
      error: 'true, false or a list of patterns such as library/**',
    })
    .prefault(false)
    .describe('Which repositories anybody may pull'),
  freshness: list(mapping({ tag: pattern, for: duration }), 'a list of { tag, for }')
    .prefault([])
    .describe('How long a tag is served without asking upstream; the first match wins'),
  stale: mapping({
    when: oneOf(['never', 'upstream-error', 'not-found']).prefault('upstream-error'),
    for: duration.prefault('7d'),
  })
    .prefault({})
    .describe('Whether a tag is served when upstream cannot confirm it'),
  prefetch: z
    .union(
      [
        flag,
        mapping({ platforms: list(platform, 'a list').min(1, { error: 'a list of at least one platform' }) }),
      ],
      { error: 'true, false or { platforms: [linux/amd64] }' },
    )
    .prefault(false)
    .describe('Whether layers are fetched before they are asked for, of which platforms'),
  sparse: flag
    .prefault(false)
    .describe('Whether what is pushed may point to what is not there, as an index without all of its images'),
})

export type ProjectDocument = z.output<typeof projectDocument>
