import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { formatProblem, formatWarning } from '../../src/policy/problem.ts'
import { policySchema } from '../../src/policy/schema.ts'
import { onlyMirrors } from '../../src/projects/project.ts'
import { type Given, loadFrom, siteIn } from './policy-folder.ts'

const policies = join(import.meta.dirname, '../../policies')

test('what is mirrored when nobody says otherwise: each by its own name, to everybody', async () => {
  const loaded = await loadFrom(policies, { surroundings: { mirrorListen: 'unset' } })
  const site = siteIn(loaded)
  const names = ['docker.io', 'ghcr.io', 'quay.io', 'registry.k8s.io', 'gcr.io', 'mcr.microsoft.com']
  expect([...site.projects.keys()]).toEqual(names)
  expect([...site.registries.values()].map(({ ns }) => ns)).toEqual(names)
  expect([...site.projects.values()].map((project) => project.public)).toEqual(names.map(() => true))
  expect(onlyMirrors(site)).toBe(true)
  expect('warnings' in loaded && loaded.warnings).toEqual([])
})

/** What each example needs, and the warnings it is meant to give. */
const examples: Record<string, { given: Given; warnings: number }> = {
  bandwidth: { given: {}, warnings: 0 },
  'docker-hub-login': { given: { env: { HUB_TOKEN: 'x' } }, warnings: 0 },
  harbor: { given: { file: async () => 'secret\n' }, warnings: 0 },
  hosted: { given: {}, warnings: 0 },
  lab: { given: {}, warnings: 1 },
  virtual: { given: {}, warnings: 0 },
}

test.each(Object.entries(examples))('the example %s is right', async (name, { given, warnings }) => {
  const loaded = await loadFrom(join(policies, 'examples', name), given)
  if (!('site' in loaded)) throw new Error(loaded.problems.map(formatProblem).join('\n'))
  expect(loaded.warnings.map(formatWarning)).toHaveLength(warnings)
  expect(loaded.site.projects.size).toBeGreaterThan(0)
})

test('every example is one of these', async () => {
  expect((await readdir(join(policies, 'examples'))).sort()).toEqual(Object.keys(examples))
})

test('policies/schema.json is what the documents are checked by (npm run schema writes it)', async () => {
  const text = await readFile(join(policies, 'schema.json'), 'utf8')
  expect(text).toBe(`${JSON.stringify(policySchema(), null, 2)}\n`)
})

test('every example and the default set name the schema for editors', async () => {
  const folders = [policies, ...Object.keys(examples).map((name) => join(policies, 'examples', name))]
  for (const folder of folders) {
    const files = (await readdir(folder)).filter((name) => name.endsWith('.yaml'))
    for (const file of files) {
      const [, schema = ''] =
        /^# yaml-language-server: \$schema=(\S+)\n/.exec(await readFile(join(folder, file), 'utf8')) ?? []
      expect(join(folder, schema), file).toBe(join(policies, 'schema.json'))
    }
  }
})
