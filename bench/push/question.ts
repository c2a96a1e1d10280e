import { columnsOf, measureParts, sectionsOf } from '../support/cases.ts'
import { versionsOf } from '../support/line-up.ts'
import type { Answer, BenchSettings, Question } from '../support/question.ts'
import { verdictsOn } from '../support/requirement.ts'
import { distributionName } from '../support/servers/distribution.ts'
import type { Server } from '../support/servers/server.ts'
import { startServer } from '../support/start-server.ts'
import type { PushCase } from './case.ts'
import { largeBlob } from './large-blob.ts'
import { manyAtOnce } from './many-at-once.ts'
import { headersFor, pushedServers } from './servers.ts'
import { smallImages } from './small-images.ts'

const cases: readonly PushCase[] = [largeBlob, manyAtOnce, smallImages]
/** Of servers that are only pushed to. */
const nowhere = 'http://127.0.0.1:9'

export const push: Question = {
  name: 'push',
  asks: 'what does it cost to push here, and how much can be pushed at once?',
  runs: 3,
  quickRuns: 1,
  parts: cases,
  minutes: 60,
  answer,
}

async function answer(settings: BenchSettings, signal: AbortSignal): Promise<Answer> {
  const { runs, quick, only, peers } = settings
  const wanted = cases.filter(({ number }) => only.length === 0 || only.includes(number))
  const servers = [...(await pushedServers(settings)), ...peers]

  async function measured(each: PushCase, installed: Server, deadline: AbortSignal) {
    await using server = await startServer(installed, nowhere, deadline)
    const headers = await headersFor(server, deadline)
    return await each.measure({ server, headers, quick, signal: deadline })
  }
  const { samples, failures } = await measureParts(wanted, servers, runs, measured, signal)
  const columns = columnsOf(wanted)
  return {
    title: `pushes to a server that holds nothing yet; median of ${runs} rounds; GB = 1e9 bytes`,
    columns,
    samples,
    sections: sectionsOf(wanted),
    reference: distributionName,
    versions: versionsOf(servers),
    verdicts: verdictsOn(columns, samples, 'outport', distributionName),
    notes: [...failures, ...(quick ? ['Less than what is required was asked: "holds" says little.'] : [])],
  }
}
