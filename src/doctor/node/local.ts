import { join } from 'node:path'
import { AdminError, commandsAt, isListening } from '../../admin/client.ts'
import type { Commands, NodeStatus } from '../../admin/commands.ts'
import { socketName } from '../../admin/socket.ts'
import type { Config } from '../../config/config.ts'
import { doubtsOf } from '../../config/doubts.ts'
import type { Loaded } from '../../policy/load.ts'
import { formatProblem, formatWarning } from '../../policy/problem.ts'
import type { Site } from '../../projects/project.ts'
import { type Finding, type Mistake, mistakeAt, noteAt } from '../findings.ts'
import { imageOf, type TriedImage } from '../image.ts'
import type { OpenDoor } from '../settings/node-address.ts'
import { dataMistakes, lookAtData } from './data-folder.ts'
import { degradedMistake } from './degraded.ts'
import { doorsOf } from './doors.ts'

export interface LocalOptions {
  config: Config
  loadPolicies(): Promise<Loaded>
  uid: number
  signal: AbortSignal
}

/** The node on this data, as far as it can be asked. */
export interface Local {
  findings: Finding[]
  site?: Site
  /** Where clients can ask it. */
  doors: OpenDoor[]
  /** Something that it has in its cache; the one used last. */
  image?: TriedImage
}

export async function lookAtNode(options: LocalOptions): Promise<Local> {
  const { config, uid, signal } = options
  const socket = join(config.data, socketName)
  const findings = doubtsOf(config).map((what) =>
    mistakeAt('settings', { code: 'settings-wrong', what, advice: 'say it otherwise, or leave it out' }),
  )
  const loaded = await options.loadPolicies()
  findings.push(...policyFindings(loaded))
  const ofData = dataMistakes(await lookAtData(config.data), uid, socket)
  findings.push(...ofData.map((mistake) => mistakeAt(config.data, mistake)))
  const site = 'site' in loaded ? { site: loaded.site } : {}
  if (ofData.some(({ code }) => code === 'socket-name-long'))
    return { findings, ...site, doors: doorsOf(config) }

  try {
    if (!(await isListening(socket))) {
      findings.push(mistakeAt(config.data, notRunning))
      return { findings, ...site, doors: [] }
    }
    const { doors, degraded, image } = await ask(
      commandsAt(socket),
      'site' in loaded ? loaded.site : undefined,
      signal,
    )
    // What is wrong with the policies has been said, with file and line.
    const unsaid = degraded.filter(({ code }) => code !== 'policies-wrong' || 'site' in loaded)
    findings.push(...unsaid.map((said) => mistakeAt('node', degradedMistake(said))))
    return { findings, ...site, doors, ...(image && { image }) }
  } catch (error) {
    if (!(error instanceof AdminError)) throw error
    // A folder that is not right explains why nobody can be asked there.
    if (ofData.length === 0)
      findings.push(
        mistakeAt('node', {
          code: 'node-hangs',
          what: error.message,
          advice: 'look at its log, and start it anew',
        }),
      )
    return { findings, ...site, doors: [] }
  }
}

const notRunning: Mistake = {
  code: 'node-not-running',
  what: 'no node runs on this data',
  advice: 'start it (`outport serve`), with the same settings; or name its address: `outport doctor URL`',
}

function policyFindings(loaded: Loaded): Finding[] {
  const advice = 'mend it and try `outport policy check`; a running node goes on with the last good policies'
  if ('problems' in loaded)
    return loaded.problems.map((problem) =>
      mistakeAt('policies', { code: 'policies-wrong', what: formatProblem(problem), advice }),
    )
  return loaded.warnings.map((warning) =>
    noteAt('policies', { code: 'policies-wrong', what: formatWarning(warning), advice: 'is that meant?' }),
  )
}

async function ask(
  commands: Commands,
  site: Site | undefined,
  signal: AbortSignal,
): Promise<Pick<NodeStatus, 'degraded'> & Pick<Local, 'doors' | 'image'>> {
  let status: NodeStatus | undefined
  for await (const said of commands.status({}, signal)) status = said
  const { doors = [], degraded = [] } = status ?? {}
  const image = site && (await imageFrom(commands, site, signal))
  return { doors: doors.filter(({ face }) => face !== 'metrics'), degraded, ...(image && { image }) }
}

/** Public, here at least in part, and one that every client can ask for: of Docker Hub if there is one. */
async function imageFrom(
  commands: Commands,
  site: Site,
  signal: AbortSignal,
): Promise<TriedImage | undefined> {
  let best: { image: TriedImage; rank: string } | undefined
  for await (const page of commands.images({}, signal)) {
    for (const { repository, tag, usedAt } of page) {
      const image = usedAt === undefined ? undefined : imageOf(site, repository, tag)
      if (!image) continue
      const rank = `${image.registry === 'docker.io' ? 1 : 0} ${usedAt}`
      if (!best || rank > best.rank) best = { image, rank }
    }
  }
  return best?.image
}
