import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { digestOf } from '../../src/oci/digest.ts'
import { manifestType } from '../support/content.ts'
import { repository } from './case.ts'

export interface PusherOrder {
  url: string
  headers: Readonly<Record<string, string>>
  clients: number
  seconds: number
}

export interface PushedImages {
  images: number
  seconds: number
}

const blobBytes = 1024

/** `image-pusher.ts ORDER`: pushes one image after another in each client, and prints {@link PushedImages} as JSON. */
async function work({ url, headers, clients, seconds }: PusherOrder): Promise<PushedImages> {
  const agent = new Agent({ keepAlive: true, maxSockets: clients })
  const startedAt = performance.now()
  let images = 0

  async function send(
    method: string,
    target: URL,
    status: number,
    body?: Buffer,
    type?: string,
  ): Promise<URL> {
    const sent = request(target, {
      ...{ agent, method },
      headers: { ...headers, 'content-length': body?.length ?? 0, ...(type && { 'content-type': type }) },
    })
    sent.end(body)
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    response.resume()
    await once(response, 'end')
    if (response.statusCode !== status) throw new Error(`${method} ${target}: ${response.statusCode}`)
    return new URL(response.headers.location ?? '', target)
  }
  async function pushImage(): Promise<void> {
    const blob = randomBytes(blobBytes)
    const digest = digestOf(blob)
    const place = await send('POST', new URL(`${url}/v2/${repository}/blobs/uploads/`), 202)
    place.searchParams.set('digest', digest)
    await send('PUT', place, 201, blob, 'application/octet-stream')
    const descriptor = { mediaType: 'application/octet-stream', digest, size: blobBytes }
    const manifest = Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: manifestType, config: descriptor, layers: [descriptor] }),
    )
    await send(
      'PUT',
      new URL(`${url}/v2/${repository}/manifests/${digestOf(manifest)}`),
      201,
      manifest,
      manifestType,
    )
  }
  async function client(): Promise<void> {
    while (performance.now() < startedAt + seconds * 1000) {
      await pushImage()
      images += 1
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
  agent.destroy()
  return { images, seconds: (performance.now() - startedAt) / 1000 }
}

console.log(JSON.stringify(await work(JSON.parse(process.argv[2] ?? ''))))
