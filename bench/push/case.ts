import type { MeasuredPart } from '../support/cases.ts'
import type { RunningServer } from '../support/start-server.ts'
import type { Sample } from '../support/summary.ts'

/** Something that is pushed to a server which holds nothing yet. */
export interface PushCase extends MeasuredPart {
  /** A measurement that takes longer has failed. */
  readonly deadlineMs: number
  measure(stage: PushStage): Promise<Sample['values']>
}

export interface PushStage {
  server: RunningServer
  /** What its pusher shows with every request. */
  headers: Readonly<Record<string, string>>
  /** Less of everything: shows that it works. */
  quick: boolean
  signal: AbortSignal
}

export const mebibyte = 1024 ** 2

/** Its first component is the project. */
export const repository = 'team/pushed'

/** Where a new upload goes. */
export async function beginUpload({ server, headers, signal }: PushStage, name = repository): Promise<URL> {
  const response = await fetch(`${server.url}/v2/${name}/blobs/uploads/`, { method: 'POST', headers, signal })
  return placeOf(response, 202)
}

/** It is whole now. */
export async function endUpload({ headers, signal }: PushStage, place: URL, digest: string): Promise<void> {
  place.searchParams.set('digest', digest)
  await placeOf(await fetch(place, { method: 'PUT', headers, signal }), 201)
}

/** @throws unless it is answered so */
async function placeOf(response: Response, status: number): Promise<URL> {
  const said = await response.text()
  if (response.status !== status) throw new Error(`${response.url}: ${response.status} ${said.slice(0, 200)}`)
  return new URL(response.headers.get('location') ?? '', response.url)
}
