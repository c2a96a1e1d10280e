import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { commandsAt } from '../../../src/admin/client.ts'
import type { ImageLine } from '../../../src/admin/commands.ts'
import { socketName } from '../../../src/admin/socket.ts'
import { type Edge, mirrorPolicies, startEdge } from '../../support/edge.ts'
import { buildImage, type Image } from '../../support/images.ts'
import { line } from '../../support/line.ts'
import { pull } from '../../support/pull.ts'
import { startUpstream, type Upstream } from '../../support/upstream.ts'
import type { Chance } from './soak.ts'
import { createStoreImage, type StoreImage } from './store-image.ts'
import { storedDigests } from './stored.ts'

const MiB = 1024 * 1024
const imageCount = 12

/** A node that fetches and gives up without a pause, on a disk whose power can be cut. */
export interface PowerSite extends AsyncDisposable {
  /** Cuts it after a moment, and looks at what the next node makes of it; this one goes on. */
  cut(chance: Chance): Promise<Aftermath>
}

export interface Aftermath {
  /** Blobs and manifests on the disk; each has the bytes of its digest. */
  stored: number
  /** Tags that the database has, every one of which was pulled, right. */
  tags: number
  /** Links to what is not there, and files without any: what a cut between two steps leaves. */
  absent: number
  unknown: number
  /** Must be none. */
  rotten: number
  /** From the start of the process until it listened. */
  readyMs: number
}

export async function startPowerSite(): Promise<PowerSite> {
  await using owned = new AsyncDisposableStack()
  const upstream = owned.use(await startUpstream({ line: line({ bytesPerSecond: 60 * MiB }) }))
  const images = Array.from({ length: imageCount }, (_, at) =>
    buildImage({ layers: [1.5 * MiB, 20_000], seed: `power ${at}`, compression: 'none' }),
  )
  for (const [at, image] of images.entries()) upstream.addImage(nameOf(at), '1', image)
  const disk = owned.use(await createStoreImage(96 * MiB))
  const edge = owned.use(await startEdge({ policies: policiesFor(upstream), data: join(disk.path, 'data') }))
  const over = new AbortController()
  const pulling = Promise.all([1, 2, 3].map((step) => pullOn(edge, step, over.signal)))
  owned.defer(async () => {
    over.abort()
    await pulling
    await edge.stop()
  })
  const held = owned.move()
  return {
    async cut(chance) {
      await pause(20 + chance.below(300))
      await using left = await disk.afterPowerCut(() => stopped(edge.pid))
      return await aftermathOf(left, upstream, images)
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

const nameOf = (at: number) => `library/app${at}`

/** Half of the images fit, so that something is given up for every one that comes. */
function policiesFor(upstream: Upstream): Record<string, string> {
  return mirrorPolicies(upstream, {
    project: { freshness: [{ tag: '**', for: '1d' }] },
    more: [{ kind: 'cache', budget: '10MiB', high: '90%', low: '70%', scrub: false }],
  })
}

async function pullOn(edge: Edge, step: number, signal: AbortSignal): Promise<void> {
  for (let at = step; !signal.aborted; at += step)
    await pull(edge.url, nameOf(at % imageCount), '1', { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
}

function stopped(pid: number): Disposable {
  process.kill(pid, 'SIGSTOP')
  return { [Symbol.dispose]: () => process.kill(pid, 'SIGCONT') }
}

async function aftermathOf(
  disk: StoreImage,
  upstream: Upstream,
  images: readonly Image[],
): Promise<Aftermath> {
  const data = join(disk.path, 'data')
  const startedAt = performance.now()
  await using edge = await startEdge({ policies: policiesFor(upstream), data })
  const readyMs = performance.now() - startedAt
  const commands = commandsAt(join(data, socketName))
  const signal = AbortSignal.timeout(30_000)
  const found = { rotten: 0, absent: 0, unknown: 0 }
  for await (const event of commands.fsck({ repair: false }, signal))
    if (event.kind === 'end') Object.assign(found, event)
  const stored = await storedDigests(data)
  const tags: ImageLine[] = []
  for await (const page of commands.images({}, signal)) tags.push(...page)
  await Promise.all(tags.map((tag) => expectRight(edge, tag, images)))
  await edge.stop()
  const { rotten, absent, unknown } = found
  return { rotten, absent, unknown, stored: stored.length, tags: tags.length, readyMs }
}

async function expectRight(edge: Edge, line: ImageLine, images: readonly Image[]): Promise<void> {
  const name = line.repository.slice(line.repository.indexOf('/') + 1)
  const wanted = images[Number(/\d+$/.exec(name)?.[0])]?.manifest.digest
  const { digest } = await pull(edge.url, name, line.tag)
  if (digest !== line.digest || digest !== wanted)
    throw new Error(`${name}:${line.tag} is ${digest}, not ${wanted}`)
}
