import type { Site } from '../projects/project.ts'
import { type Checked, checkSource } from './check.ts'
import { parseYaml } from './parse-yaml.ts'
import { formatPlace, type Problem, type Warning } from './problem.ts'
import { compileCache, compileGc, compileProject, defaultCache } from './projects.ts'
import { checkConflicts, checkNames } from './references.ts'
import { compileRegistry, type Secrets } from './registries.ts'
import { type CompiledProject, checkMirror, checkSite, type Surroundings, warnings } from './site-rules.ts'
import { generationOf, readSnapshot, type Snapshot } from './snapshot.ts'
import { type Source, valueAt, wholeFile } from './source.ts'

export interface LoadOptions {
  /** Its `*.yaml` are read, no folders in it. As it is given it stands before the file names of problems. */
  folder: string
  secrets: Secrets
  surroundings: Surroundings
}

/** The whole folder or nothing of it. */
export type Loaded = (Good | Bad) & {
  /** What {@link generationOf} the folder was then. */
  generation: string
}

type Good = { site: Site; warnings: Warning[] }
type Bad = { problems: Problem[] }

const maxTries = 5

/** Never rejects for what the folder holds: that is a list of problems. */
export async function loadPolicies(options: LoadOptions): Promise<Loaded> {
  const { folder } = options
  let generation = await generationOf(folder)
  for (let tries = 0; tries < maxTries; tries++) {
    const before = generation
    const loaded = await loadSnapshot(await readSnapshot(folder), options)
    generation = await generationOf(folder)
    if (generation === before) return { ...loaded, generation }
  }
  const found = 'one that is written to all the time'
  const expected = 'a folder that stays as it is while it is read'
  return { problems: [{ ...wholeFile(folder), expected, found }], generation }
}

async function loadSnapshot(snapshot: Snapshot, options: LoadOptions): Promise<Good | Bad> {
  const { folder } = options
  const { sources, documents, unread, wrong } = readDocuments(snapshot)
  const { site, projects, ...compiled } = await compile(documents, options)
  const problems = [...unread, ...wrong, ...checkConflicts(sources, documents), ...compiled.problems]
  // What is missing may stand in the file that could not be read.
  if (unread.length === 0) {
    problems.push(...checkNames(sources, documents))
    problems.push(...checkMirror(projects, declaredProjects(sources), options.surroundings))
  }
  if (problems.length > 0) return { problems: problems.sort(byPlace) }
  return { site, warnings: [...folderWarnings(folder, snapshot, site), ...compiled.warnings] }
}

interface ReadDocuments {
  sources: Source[]
  documents: Checked[]
  /** Why there may be more documents than these. */
  unread: Problem[]
  /** Why some sources are no documents. */
  wrong: Problem[]
}

function readDocuments({ files, problems }: Snapshot): ReadDocuments {
  const parsed = files.map(({ path, text }) => parseYaml(path, text))
  const sources = parsed.flatMap((file) => file.sources)
  const results = sources.map(checkSource)
  return {
    sources,
    documents: results.flatMap((result) => ('checked' in result ? [result.checked] : [])),
    unread: [...problems, ...parsed.flatMap((file) => file.problems)],
    wrong: results.flatMap((result) => ('problems' in result ? result.problems : [])),
  }
}

interface Compiled {
  site: Site
  projects: CompiledProject[]
  problems: Problem[]
  warnings: Warning[]
}

async function compile(documents: readonly Checked[], options: LoadOptions): Promise<Compiled> {
  const { folder, secrets, surroundings } = options
  const problems: Problem[] = []
  const report = (problem: Problem) => void problems.push(problem)
  const registries = documents.filter((document) => document.kind === 'registry')
  const calendars = new Map(
    documents
      .filter((document) => document.kind === 'calendar')
      .map(({ body: { name, timeZone, hours } }) => [name, { timeZone, hours }]),
  )
  const settings = await Promise.all(
    registries.map((each) => compileRegistry(each, { folder, secrets, calendars, report })),
  )
  const projects = documents
    .filter((document) => document.kind === 'project')
    .map(({ body, source }) => ({ project: compileProject(body), source }))
  const caches = documents.filter((document) => document.kind === 'cache')
  const [cache] = caches
  const gc = documents.find((document) => document.kind === 'gc')

  problems.push(...checkSite(projects, registries, surroundings))
  const site: Site = Object.freeze({
    projects: new Map(projects.map(({ project }) => [project.name, project])),
    registries: new Map(settings.map((registry) => [registry.name, registry])),
    cache: cache
      ? compileCache(cache.body, surroundings.diskBytes, formatPlace(cache.source.spot(['pins'])))
      : defaultCache(surroundings.diskBytes),
    gc: compileGc(gc?.body),
  })
  return { site, projects, problems, warnings: warnings(projects, registries) }
}

function declaredProjects(sources: readonly Source[]): string[] {
  const projects = sources.filter(({ value }) => valueAt(value, ['kind']) === 'project')
  return projects.map(({ value }) => String(valueAt(value, ['name'])))
}

function folderWarnings(folder: string, { passedOver }: Snapshot, site: Site): Warning[] {
  const empty = { ...wholeFile(folder), message: 'no project in this folder: nothing is served' }
  return [
    ...passedOver.map((name) => ({
      ...wholeFile(folder),
      message: `${name} is not read: policies are *.yaml`,
    })),
    ...(site.projects.size === 0 ? [empty] : []),
  ]
}

function byPlace(left: Problem, right: Problem): number {
  if (left.file !== right.file) return left.file < right.file ? -1 : 1
  return (left.line ?? 0) - (right.line ?? 0) || (left.column ?? 0) - (right.column ?? 0)
}
