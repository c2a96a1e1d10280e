import { type Client, type ClientName, clientNames } from './clients/client.ts'
import { containerd } from './clients/containerd.ts'
import { containerd1 } from './clients/containerd-1.ts'
import { crane } from './clients/crane.ts'
import { docker } from './clients/docker.ts'
import { dockerOld } from './clients/docker-old.ts'
import { k3s } from './clients/k3s.ts'
import { podman } from './clients/podman.ts'
import { findCredential } from './credentials.ts'
import { type ClientResult, type Mistake, mistakeAt, noteAt, type ReportLine } from './findings.ts'
import type { TriedImage } from './image.ts'
import type { Machine } from './machine.ts'
import { reach } from './reach.ts'
import { MistakeFound, openTalk } from './talk.ts'
import { trustOf } from './trust.ts'
import type { Endpoint, Limits } from './wire/exchange.ts'

const clients: Readonly<Record<ClientName, Client>> = {
  'docker-old': dockerOld,
  docker,
  'containerd-1': containerd1,
  containerd,
  k3s,
  podman,
  crane,
}

/** A door to be tested. */
export interface Door extends Endpoint {
  face?: 'registry' | 'mirror'
  /** It mirrors docker.io for who says no name of a registry. Absent: nobody knows. */
  isDefaultMirror?: boolean
}

export interface DoorOptions {
  door: Door
  image: TriedImage | undefined
  only: readonly ClientName[]
  machine: Machine
  /** PEM; what every client trusts. */
  authorities: readonly string[]
  loginFiles: readonly string[]
  limits: Limits
  signal: AbortSignal
}

/** What is wrong at a door, for all clients and then for each. */
export async function* testDoor(options: DoorOptions): AsyncGenerator<ReportLine> {
  const { door, image, only, limits, signal } = options
  const { origin } = door.url
  const shown = image && `${image.registry}/${image.name}${separatorOf(image)}${image.reference}`
  yield {
    kind: 'door',
    door: origin,
    ...(door.face && { face: door.face }),
    ...(shown !== undefined && { image: shown }),
  }
  const { mistakes, isBlocked } = await reach(door, limits, signal)
  // A door of this node that sends clients to https is meant to.
  const isMeant = ({ code }: Mistake) => door.face !== undefined && code === 'http-to-https-door'
  for (const mistake of mistakes)
    yield isMeant(mistake) ? noteAt(origin, mistake) : mistakeAt(origin, mistake)
  if (isBlocked) return
  const played = clientNames
    .filter((name) => only.length === 0 || only.includes(name))
    .map((name) => clients[name])
    .filter((client) => suits(client, door, image))
  yield* tellForms(await Promise.all(played.map((client) => play(client, options))))
}

function separatorOf({ reference }: TriedImage): string {
  return reference.includes(':') ? '@' : ':'
}

/** Whether somebody would point this client at this door for this image. */
function suits(
  { name, form }: Client,
  { face, isDefaultMirror }: Door,
  image: TriedImage | undefined,
): boolean {
  if (form === 'path') return face !== 'mirror'
  if (name !== 'docker' && name !== 'docker-old') return true
  return isDefaultMirror !== false && (image === undefined || image.registry === 'docker.io')
}

/** What is there under its plain name, and not behind a project's, is asked for at the wrong kind of door. */
function tellForms(results: readonly ClientResult[]): ClientResult[] {
  const isPlainThere = results.some(({ client, ok }) => ok && clients[client].form !== 'path')
  return results.map((result) => {
    if (result.ok || result.code !== 'not-found' || clients[result.client].form !== 'path' || !isPlainThere)
      return result
    const advice =
      'let this client ask a registry door of the node: a mirror door, or a mirror of another make, knows no names of projects'
    return { ...result, code: 'path-form-unknown', advice }
  })
}

async function play(client: Client, options: DoorOptions): Promise<ClientResult> {
  const { door, image, machine, limits, signal } = options
  const { url } = door
  const common = { kind: 'client', door: url.origin, client: client.name, title: client.title } as const
  const { pems, misplaced } =
    url.protocol === 'https:' ? await client.authorities(machine, url) : { pems: [], misplaced: [] }
  const trust = trustOf([...options.authorities, ...pems])
  const credential = client.logsIn ? await findCredential(machine, options.loginFiles, url.host) : undefined
  using talk = openTalk({ client, endpoint: door, image, trust, credential, limits, signal })
  try {
    await client.play(talk, image !== undefined)
    return { ...common, ok: true, tested: image ? 'manifests and a blob' : 'names only' }
  } catch (error) {
    if (!(error instanceof MistakeFound)) throw error
    const { mistake, stage } = error
    if (mistake.code !== 'certificate-authority')
      return { ...common, ok: false, consequence: client.consequences[stage], ...mistake }
    return {
      ...common,
      ok: false,
      consequence: 'it does not trust the door',
      ...untrusted(client, url, misplaced),
    }
  }
}

/** Where this client wants the authority of the door, and where somebody has put it. */
function untrusted(client: Client, { host }: URL, misplaced: readonly string[]): Mistake {
  const wanted = client.wantsAuthorityIn(host)
  if (misplaced.length > 0)
    return {
      code: 'authority-misplaced',
      what: `it does not trust the certificate of ${host}, and does not read ${misplaced.join(', ')}`,
      advice: `put the certificate of the authority into ${wanted}`,
    }
  return {
    code: 'certificate-authority',
    what: `it does not trust the authority that the certificate of ${host} comes from`,
    advice: `put the certificate of that authority into ${wanted}; \`outport doctor settings\` on the node prints it`,
  }
}
