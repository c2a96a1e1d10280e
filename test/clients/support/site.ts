import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createAuthority } from '../../support/certificates.ts'
import { mirrorPolicy, startEdge } from '../../support/edge.ts'
import { buildImage, buildIndex, type ImageIndex } from '../../support/images.ts'
import { temporaryDirectory } from '../../support/temporary.ts'
import { type Hub, startHub } from './hub.ts'
import { freshLoopbackAddress } from './loopback.ts'
import { type Machine, startMachine } from './machine.ts'
import { pushIndex } from './push.ts'
import { type Recorder, startRecorder } from './recorder.ts'
import { type RegistryKind, startRegistry } from './registry.ts'

/**
 * A place with an edge: clients that reach it as edge.example:5000, and a real registry behind it as its upstream for
 * docker.io and ghcr.io. The clients can reach the real names as well, and it is seen when they do.
 */
export interface Site extends AsyncDisposable {
  /** The edge itself, seen by nobody. */
  readonly edge: URL
  /** What the edge was asked. */
  readonly front: Recorder
  /** What the edge asked of its upstream. */
  readonly back: Recorder
  /** Blob bytes that the edge got from its upstream. */
  fetchedBytes(): Promise<number>
  /** What was asked past the edge. */
  readonly hub: Hub
  /** The real registry, to push more into. */
  readonly registry: URL
  /** All as `library/…:1`; `elsewhere` at the real names only. */
  readonly images: { app: ImageIndex; tool: ImageIndex; half: ImageIndex; elsewhere: ImageIndex }
  /** A machine whose clients are set up as deploy/clients/ says; `edge` is another address for edge.example. */
  startMachine(edge?: string): Promise<Machine>
  /** From now on the edge's upstream refuses connections. */
  cutUpstream(): Promise<void>
}

export async function startSite(kind: RegistryKind): Promise<Site> {
  await using owned = new AsyncDisposableStack()
  const directory = owned.use(await temporaryDirectory())
  const authority = createAuthority()
  const authorityFile = join(directory.path, 'authority.pem')
  await writeFile(authorityFile, authority.ca)

  const registry = owned.use(await startRegistry(kind))
  const images = {
    app: imageOf('app'),
    tool: imageOf('tool'),
    half: imageOf('half'),
    elsewhere: imageOf('elsewhere'),
  }
  for (const [name, image] of Object.entries(images)) {
    await pushIndex(registry.url, `library/${name}`, image, '1')
  }
  const hub = owned.use(await startHub(registry.url, authority))
  const unknown = {
    status: 404,
    headers: { 'Content-Type': 'application/json' },
    body: '{"errors":[{"code":"NAME_UNKNOWN"}]}',
  }
  const back = owned.use(
    await startRecorder({
      target: registry.url,
      intercept: ({ url }) => (url.startsWith('/v2/library/elsewhere/') ? unknown : undefined),
    }),
  )
  const edge = owned.use(await startEdge({ policies: policiesFor(`http://127.0.0.1:${back.port}`) }))
  const address = freshLoopbackAddress()
  const front = owned.use(await startRecorder({ target: new URL(edge.url), address, port: 5000 }))
  const etc = await readSettings()

  const held = owned.move()
  return {
    edge: new URL(edge.url),
    front,
    back,
    fetchedBytes: () => edge.metrics('outport_upstream_bytes_total'),
    hub,
    registry: registry.url,
    images,
    startMachine: (edge = address) =>
      startMachine({ names: { ...hub.names, 'edge.example': edge }, authority: authorityFile, etc }),
    cutUpstream: async () => back[Symbol.asyncDispose](),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

/** Several layers, two platforms. */
function imageOf(seed: string): ImageIndex {
  const amd64 = buildImage({ seed, layers: [1024, 64 * 1024, 1024 * 1024, 4 * 1024 * 1024] })
  const arm64 = buildImage({ seed, layers: [1024, 128 * 1024], platform: 'linux/arm64' })
  return buildIndex([{ image: amd64 }, { image: arm64 }])
}

/** Where each of the shown files belongs below /etc. */
export async function readSettings(): Promise<Record<string, string>> {
  const shown = new URL('../../../deploy/clients/', import.meta.url)
  const places = {
    'docker/daemon.json': 'daemon.json',
    'containerd/old.toml': 'containerd-1.toml',
    'containerd/new.toml': 'containerd-2.toml',
    'containerd/certs.d/docker.io/hosts.toml': 'certs.d/docker.io/hosts.toml',
    'containerd/certs.d/_default/hosts.toml': 'certs.d/_default/hosts.toml',
    'containers/registries.conf': 'registries.conf',
  }
  const read = Object.entries(places).map(async ([place, name]) => [
    place,
    await readFile(new URL(name, shown), 'utf8'),
  ])
  return Object.fromEntries(await Promise.all(read))
}
/** Both names lead to the same upstream: which one is meant decides about the project, not about the content. */
function policiesFor(upstream: string): Record<string, string> {
  const registry = { kind: 'registry', name: 'github', type: 'docker-registry', url: upstream, ns: 'ghcr.io' }
  const project = { kind: 'project', name: 'ghcr.io', proxy: 'github', public: true }
  return { 'site.yaml': mirrorPolicy({ url: upstream }, { more: [registry, project] }) }
}
