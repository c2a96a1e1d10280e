import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { expect } from 'vitest'
import { type Edge, mirrorPolicy, startEdge } from '../../support/edge.ts'
import { type Fetched, type FetchOptions, fetchBlob, responseTo } from '../../support/fetch-blob.ts'
import { blobsOf, buildImage, buildIndex, type Content, type Image } from '../../support/images.ts'
import { startUpstream, type Upstream, type UpstreamOptions } from '../../support/upstream.ts'

export const amd64 = buildImage({ seed: 'oci', layers: [1024, 2 * 1024 * 1024] })
export const ociIndex = buildIndex([
  { image: amd64 },
  { image: buildImage({ layers: [512], platform: 'linux/arm64' }) },
])
export const dockerImage = buildImage({ seed: 'docker', format: 'docker', layers: [1024] })
export const dockerList = buildIndex([{ image: dockerImage }], { format: 'docker' })
export const layer = amd64.layers[1] as Content

/** An edge that mirrors `upstream` as docker.io. */
export interface Mirror extends AsyncDisposable {
  edge: Edge
  upstream: Upstream
}

export async function startMirror(
  options: { upstream?: UpstreamOptions; registry?: object } = {},
): Promise<Mirror> {
  await using owned = new AsyncDisposableStack()
  const upstream = owned.use(await startUpstream(options.upstream))
  const policies = { 'site.yaml': mirrorPolicy(upstream, { registry: options.registry ?? {} }) }
  const edge = owned.use(await startEdge({ policies }))
  const held = owned.move()
  return { edge, upstream, [Symbol.asyncDispose]: () => held.disposeAsync() }
}

/** On a connection of its own; nothing is decoded. */
export function ask(edge: Edge, path: string, question?: FetchOptions): Promise<Fetched> {
  return fetchBlob(new URL(path, edge.url).href, { ...question, keep: true })
}

export function open(edge: Edge, path: string, question?: FetchOptions): Promise<IncomingMessage> {
  return responseTo(new URL(path, edge.url).href, question)
}

/** @returns all that the server says until it ends the connection. */
export async function sayUntilTheEnd({ url }: Edge, bytes: string | Buffer): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.write(bytes)
  return (await buffer(socket)).toString('latin1')
}

/** GET and HEAD say the same, and in the form of the distribution specification. */
export async function expectError(edge: Edge, path: string, status: number, code: string): Promise<Fetched> {
  const answer = await ask(edge, path)
  const head = await ask(edge, path, { method: 'HEAD' })

  const { errors } = JSON.parse(answer.body.toString())
  expect({ path, status: answer.status, errors }).toEqual({
    path,
    status,
    errors: [expect.objectContaining({ code, message: expect.stringMatching(/\w+ \w+/) })],
  })
  expect(answer.headers['content-type']).toMatch(/^application\/json\b/)
  expect({ path, status: head.status, body: head.body.length }).toEqual({ path, status, body: 0 })
  expect(head.headers['content-type']).toBe(answer.headers['content-type'])
  return answer
}

export async function pull(edge: Edge, repository: string, image: Image): Promise<void> {
  const manifest = await ask(edge, `/v2/${repository}/manifests/1`)
  expect([manifest.status, manifest.body]).toEqual([200, image.manifest.bytes])
  for (const { digest, bytes } of blobsOf(image)) {
    const blob = await ask(edge, `/v2/${repository}/blobs/${digest}`)
    expect([blob.status, blob.body.equals(bytes)]).toEqual([200, true])
  }
}
