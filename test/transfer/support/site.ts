import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { outport, type Said } from '../../support/command.ts'
import { type Edge, startEdge } from '../../support/edge.ts'
import { temporaryDirectory } from '../../support/temporary.ts'

const hosted = { kind: 'project', name: 'team', public: true }

/** A site with a hosted project that everybody may pull from. */
export interface HostedSite extends AsyncDisposable {
  readonly data: string
  /** A folder for what a test puts beside it, on the same file system. */
  readonly scratch: string
  /** As somebody types it. */
  run(...args: string[]): Promise<Said>
  start(): Promise<Edge>
}

export async function hostedSite(documents: readonly object[] = [hosted]): Promise<HostedSite> {
  await using owned = new AsyncDisposableStack()
  const { path: scratch } = owned.use(await temporaryDirectory())
  const data = join(scratch, 'data')
  const policies = join(scratch, 'policies.d')
  await mkdir(policies)
  await mkdir(data)
  await writeFile(join(policies, 'site.yaml'), documents.map((each) => stringify(each)).join('---\n'))
  const env = { OUTPORT_DATA: data, OUTPORT_POLICIES: policies, OUTPORT_MIRROR_LISTEN: 'off' }
  const held = owned.move()
  return {
    ...{ data, scratch },
    run: (...args) => outport(args, env),
    async start() {
      const edge = await startEdge({ policies, data, env: { OUTPORT_MIRROR_LISTEN: 'off' } })
      held.use(edge)
      return edge
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}
