import { type Said as CommandSaid, outport } from '../../support/command.ts'
import type { Edge } from '../../support/edge.ts'
import { createPusher, type Pusher, type Said, startHosted } from '../../support/hosted.ts'
import { startUpstream, type Upstream, type UpstreamOptions } from '../../support/upstream.ts'

/** A site whose project `lib` is pushed to and mirrors what upstream has below `library/`; `docker.io` mirrors all of it. */
export interface VirtualSite extends AsyncDisposable {
  readonly upstream: Upstream
  readonly edge: Edge
  /** Who may push. */
  readonly admin: Pusher
  /** Who shows a token for just these actions on `repository`; without `name` one of nobody's. */
  bearer(repository: string, actions: string, name?: 'admin'): Promise<Pusher>
  /** The digest that a tag of `lib/app` is answered with, or the status that it is refused with. */
  digestOf(tag: string): Promise<string | number>
  run(...args: string[]): Promise<CommandSaid>
}

export interface VirtualOptions {
  upstream?: UpstreamOptions
  /** Fields of the project `lib`, which anybody may read; its tags are checked with upstream every time. */
  project?: object
  more?: readonly object[]
  env?: Readonly<Record<string, string>>
}

export async function startVirtual(options: VirtualOptions = {}): Promise<VirtualSite> {
  await using owned = new AsyncDisposableStack()
  const upstream = owned.use(await startUpstream(options.upstream))
  const registry = { type: 'docker-registry', url: upstream.url, ns: 'docker.io', segments: 1 }
  const edge = owned.use(
    await startHosted({
      more: [
        { kind: 'registry', name: 'hub', ...registry },
        { kind: 'project', name: 'docker.io', proxy: 'hub', public: true },
        {
          ...{ kind: 'project', name: 'lib', proxy: { registry: 'hub', path: 'library' }, push: true },
          ...{ public: true, freshness: [{ tag: '**', for: '0s' }], ...options.project },
        },
        ...(options.more ?? []),
      ],
      ...(options.env && { env: options.env }),
    }),
  )
  const admin = createPusher(edge)
  const held = owned.move()
  return {
    ...{ upstream, edge, admin },
    async bearer(repository, actions, name) {
      const asker = name ? admin : createPusher(edge, {})
      const scope = `repository:${repository}:${actions}`
      const { body } = await asker.send('GET', `/service/token?service=branch&scope=${scope}`)
      return createPusher(edge, { authorization: `Bearer ${JSON.parse(body.toString()).token}` })
    },
    async digestOf(tag) {
      const { status, headers } = await createPusher(edge, {}).send('GET', `/v2/lib/app/manifests/${tag}`)
      return status === 200 ? (headers.get('docker-content-digest') ?? '') : status
    },
    run: (...args) => outport(args, { OUTPORT_DATA: edge.data, OUTPORT_POLICIES: edge.policies, ...off }),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

const off = { OUTPORT_MIRROR_LISTEN: 'off' }

export function jsonIn({ body }: Pick<Said, 'body'>) {
  return JSON.parse(body.toString())
}
