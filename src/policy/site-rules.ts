import { isPublicMirror, isVirtual, type Project } from '../projects/project.ts'
import type { Checked } from './check.ts'
import { quote } from './found.ts'
import { nearest } from './nearest.ts'
import { type FieldPath, formatField, type Problem, type Warning } from './problem.ts'
import { type Source, valueAt } from './source.ts'

/** What this machine adds to the folder: where the doors are, and how large the disk is. */
export interface Surroundings {
  /** `unset`: nobody has said where the mirror door is, or that there is none. */
  mirrorListen: 'off' | 'set' | 'unset'
  /** The project behind the default mirror, and whether somebody asked for just that one. */
  mirror: { name: string; set: boolean }
  /** Of the disk that holds the data; without it a cache budget in percent is only checked. */
  diskBytes?: number
}

export interface CompiledProject {
  project: Project
  source: Source
}

/** What is wrong with the site as a whole, although each document is right. */
export function checkSite(
  projects: readonly CompiledProject[],
  registries: readonly Checked<'registry'>[],
  surroundings: Surroundings,
): Problem[] {
  return [
    ...mirrorDoorMissing(projects, surroundings),
    ...projects.flatMap((each) => openDeputy(each, registries)),
    ...projects.flatMap(shadowOfNothing),
  ]
}

/**
 * One request can mean docker.io's `team/app` or this site's own. While everything here is a public mirror that does
 * no harm; from the first other project on only the door can tell them apart.
 */
function mirrorDoorMissing(projects: readonly CompiledProject[], { mirrorListen }: Surroundings): Problem[] {
  const first = projects.find(({ project }) => !isPublicMirror(project))
  if (!first || mirrorListen !== 'unset') return []
  const path = !first.project.proxy || first.project.push ? [] : ['public']
  return [
    problem(
      first.source,
      path,
      'OUTPORT_MIRROR_LISTEN to say where the mirror door is, or off where there is none, before the first project that is no public mirror',
      `a ${kindOf(first.project)} project and no word about it`,
    ),
  ]
}

/** Whoever may read a mirror reads with its credential: what that opens to everybody has to be named. */
function openDeputy(
  { project, source }: CompiledProject,
  registries: readonly Checked<'registry'>[],
): Problem[] {
  const upstream = registries.find(({ body }) => body.name === project.proxy?.registry)?.body
  if (project.public !== true || !(upstream?.credential || upstream?.clientCertificate)) return []
  const expected = `false, or a list of patterns, because registry ${quote(upstream.name)} is asked with a credential`
  return [problem(source, ['public'], expected, 'true')]
}

/** Elsewhere all tags are pushed, or none. */
function shadowOfNothing({ project, source }: CompiledProject): Problem[] {
  if (valueAt(source.value, ['shadow']) === undefined || isVirtual(project)) return []
  const expected = 'shadow only in a project with proxy and push: true'
  return [problem(source, ['shadow'], expected, project.proxy ? 'a proxy project' : 'a hosted project')]
}

/** Only the name that somebody asked for has to be there; without the usual one there is no default mirror. */
export function checkMirror(
  projects: readonly CompiledProject[],
  declared: readonly string[],
  { mirror }: Surroundings,
): Problem[] {
  const named = projects.find(({ project }) => project.name === mirror.name)
  if (!mirror.set || (named && isPublicMirror(named.project))) return []
  if (!named && declared.includes(mirror.name)) return []
  const mirrors = projects.filter(({ project }) => isPublicMirror(project)).map(({ project }) => project.name)
  const close = named ? undefined : nearest(mirror.name, mirrors)
  return [
    {
      file: 'OUTPORT_MIRROR',
      field: '',
      expected: 'the name of a public proxy project',
      found: `${quote(mirror.name)}, which is ${named ? `a ${kindOf(named.project)} one` : 'none of the folder'}`,
      ...(close !== undefined && { nearest: close }),
    },
  ]
}

export function warnings(
  projects: readonly CompiledProject[],
  registries: readonly Checked<'registry'>[],
): Warning[] {
  return [...projects.flatMap(projectWarnings), ...registries.flatMap(registryWarnings)]
}

function projectWarnings({ project, source }: CompiledProject): Warning[] {
  const said: [boolean, FieldPath, string][] = [
    [project.prefetch !== false && !project.proxy, ['prefetch'], 'without proxy there is nothing to fetch'],
    [project.sparse && !project.push, ['sparse'], 'what is mirrored may always be there in part'],
  ]
  return said.filter(([holds]) => holds).map(([, path, message]) => warning(source, path, message))
}

function registryWarnings({ body, source }: Checked<'registry'>): Warning[] {
  const urls = body.urls ?? (body.url === undefined ? [] : [body.url])
  const isPlain = urls.some((url) => url.startsWith('http:'))
  const asksItself =
    urls.some((url) => body.serveAs.includes(new URL(url).hostname)) && body.address === undefined
  const said: [boolean, FieldPath, string][] = [
    [body.insecure, ['insecure'], 'its certificate is not checked'],
    [isPlain && body.credential !== undefined, ['credential'], 'the credential goes over plain http'],
    [asksItself, ['serveAs'], 'without address, this site may find itself under the name of the url'],
  ]
  return said.filter(([holds]) => holds).map(([, path, message]) => warning(source, path, message))
}

function kindOf({ proxy, push }: Project): string {
  if (!proxy) return 'hosted'
  return push ? 'virtual' : 'private'
}

function problem(source: Source, path: FieldPath, expected: string, found: string): Problem {
  return { ...source.spot(path), field: formatField(path), expected, found }
}

function warning(source: Source, path: FieldPath, message: string): Warning {
  return { ...source.spot(path), field: formatField(path), message }
}
