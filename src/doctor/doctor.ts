import { onlyMirrors } from '../projects/project.ts'
import type { ClientName } from './clients/client.ts'
import { loginFiles } from './credentials.ts'
import { type Door, testDoor } from './door.ts'
import { checkFiles } from './files/check-files.ts'
import { mistakeAt, noteAt, type ReportLine } from './findings.ts'
import { placedIn, type TriedImage } from './image.ts'
import { createMachine } from './machine.ts'
import { readNodeCertificates } from './node/certificates.ts'
import { type Degraded, degradedMistake } from './node/degraded.ts'
import { upstreamMistakes } from './node/limits.ts'
import { type Local, type LocalOptions, lookAtNode } from './node/local.ts'
import { clientUrlOf, isEverywhere, type OpenDoor } from './settings/node-address.ts'
import { systemAuthorities } from './trust.ts'
import { exchange, type Limits } from './wire/exchange.ts'

export interface DoctorOptions {
  /** The door as clients reach it; absent: those of the node on this data. */
  url?: URL
  image?: TriedImage
  /** Where the files of this machine's clients are. */
  root: string
  /** Empty: all. */
  only: readonly ClientName[]
  limits: Limits
  /** PEM, to trust beside the system's or instead of them. */
  authorities: { more: readonly string[]; system?: string }
  /** Of who runs this. */
  user: { home: string; uid: number }
  local: Omit<LocalOptions, 'uid' | 'signal'> & { hostname: string }
  signal: AbortSignal
}

/** Everything that is looked at, as it is found; `end` comes last. Changes nothing. */
export async function* diagnose(options: DoctorOptions): AsyncGenerator<ReportLine> {
  let mistakes = 0
  let notes = 0
  for await (const line of linesOf(options)) {
    if (line.kind === 'mistake' || (line.kind === 'client' && !line.ok)) mistakes += 1
    if (line.kind === 'note') notes += 1
    yield line
  }
  yield { kind: 'end', mistakes, notes }
}

async function* linesOf(options: DoctorOptions): AsyncGenerator<ReportLine> {
  const { url, user, root, only, limits, signal } = options
  const machine = createMachine(root)
  const local = url ? undefined : await lookAtNode({ ...options.local, uid: user.uid, signal })
  yield* local?.findings ?? []

  const { doors, authorities } = url
    ? { doors: [{ url }], authorities: [] }
    : await localDoors(options, local)
  const image = imageFor(options, local)
  if (!image && doors.length > 0) yield noteAt('image', namesOnly)
  const system = options.authorities.system ?? (await systemAuthorities(machine))
  const common = {
    ...{ image, only, machine, limits, signal },
    authorities: [...system, ...options.authorities.more, ...authorities],
    loginFiles: loginFiles(user.home, user.uid),
  }
  for (const door of doors) yield* testDoor({ door, ...common })
  yield* await nodeSays(doors[0], local !== undefined, limits, signal)

  yield* await checkFiles(
    machine,
    doors.map((door) => door.url),
  )
  yield { kind: 'looked', ...machine.looked() }
}

const namesOnly = {
  code: 'not-found',
  what: 'no image is known to be there: only names are tested',
  advice: 'name one that has been pulled through it: --image library/nginx:1.27',
} as const

function imageFor({ image }: DoctorOptions, local: Local | undefined): TriedImage | undefined {
  if (!image) return local?.image
  return local?.site ? placedIn(local.site, image) : image
}

/** The doors of this node under the names that clients have for them, connected to where they are. */
async function localDoors(
  { local: { config, hostname } }: DoctorOptions,
  local: Local | undefined,
): Promise<{ doors: Door[]; authorities: string[] }> {
  const { first: certificate, authority } = await readNodeCertificates(config)
  const isDefaultMirror = (face: OpenDoor['face']) =>
    face === 'mirror' || local?.site === undefined || onlyMirrors(local.site)
  const doors = (local?.doors ?? []).map((door): Door => {
    const { hostname: listening, port, protocol } = new URL(door.url)
    const known = clientUrlOf({ config, hostname, certificate }, door) ?? door.url
    const host = isEverywhere(listening) ? 'localhost' : listening.replace(/^\[|\]$/g, '')
    return {
      url: new URL(known),
      at: { host, port: Number(port || (protocol === 'https:' ? 443 : 80)) },
      face: door.face === 'mirror' ? 'mirror' : 'registry',
      isDefaultMirror: isDefaultMirror(door.face),
      ...(config.publicUrl !== undefined && { publicUrl: config.publicUrl }),
    }
  })
  return { doors, authorities: authority === undefined ? [] : [authority] }
}

/** What the node tells at a door of how it is; nothing where it tells nothing. */
async function nodeSays(
  door: Door | undefined,
  isLocal: boolean,
  limits: Limits,
  signal: AbortSignal,
): Promise<ReportLine[]> {
  if (!door) return []
  const read = async (path: string): Promise<string> => {
    try {
      const { status, body } = await exchange(door, { method: 'GET', path, headers: {} }, { limits }, signal)
      return status === 200 ? body.toString() : ''
    } catch {
      signal.throwIfAborted()
      return ''
    }
  }
  const where = door.url.origin
  const ofUpstreams = upstreamMistakes(await read('/metrics'), Date.now())
  // The node on this data has said that already.
  const ofReadiness = isLocal ? [] : degradedIn(await read('/readyz')).map(degradedMistake)
  return [...ofReadiness, ...ofUpstreams].map((mistake) => mistakeAt(where, mistake))
}

function degradedIn(readyz: string): Degraded[] {
  try {
    const { degraded } = JSON.parse(readyz)
    return Array.isArray(degraded) ? degraded.filter(isDegraded) : []
  } catch {
    return []
  }
}

function isDegraded(value: unknown): value is Degraded {
  const each: Partial<Degraded> = typeof value === 'object' && value !== null ? value : {}
  return [each.code, each.since, each.message].every((field) => typeof field === 'string')
}
