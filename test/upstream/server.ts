import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer, type ServerOptions } from 'node:https'
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { digestOf } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { parseReference, parseRepositoryName } from '../../src/oci/reference.ts'
import { createRegistryClient, type RegistryClientOptions } from '../../src/upstream/client.ts'
import type { RegistryClient, RegistrySettings, UpstreamError } from '../../src/upstream/registry-client.ts'

export type Handler = (request: IncomingMessage, response: ServerResponse) => void

/** A server on a loopback port that writes down what it is asked. */
export interface Recorder extends AsyncDisposable {
  readonly url: string
  readonly host: string
  readonly port: number
  readonly requests: IncomingMessage[]
  /** Connections accepted so far, with or without a request. */
  readonly connections: number
}

export function startServer(handler: Handler, tls?: ServerOptions): Promise<Recorder> {
  const requests: IncomingMessage[] = []
  const listener: Handler = (request, response) => {
    requests.push(request)
    handler(request, response)
  }
  const server = tls ? createHttpsServer(tls, listener) : createHttpServer(listener)
  return listen(server, requests, tls ? 'https' : 'http')
}

/** For answers that no decent HTTP server would give. */
export function startRawServer(onConnection: (socket: Socket) => void): Promise<Recorder> {
  return listen(createTcpServer(onConnection), [], 'http')
}

async function listen(server: Server, requests: IncomingMessage[], scheme: string): Promise<Recorder> {
  const sockets = new Set<Socket>()
  let connections = 0
  server.on('connection', (socket) => {
    connections += 1
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `${scheme}://127.0.0.1:${port}`,
    host: `127.0.0.1:${port}`,
    port,
    requests,
    get connections() {
      return connections
    },
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}

/** A port of loopback on which nobody listens. */
export async function closedPort(): Promise<number> {
  await using server = await startRawServer(() => {})
  return server.port
}

export function settingsFor(
  urls: string | readonly string[],
  more: Partial<RegistrySettings> = {},
): RegistrySettings {
  return {
    name: 'upstream',
    type: 'docker-registry',
    urls: typeof urls === 'string' ? [urls] : urls,
    ns: 'upstream.test',
    serveAs: [],
    tokenHosts: [],
    redirectHosts: [],
    insecure: false,
    connections: 8,
    timeouts: { headMs: 5_000, idleMs: 5_000 },
    segments: 'auto',
    ...more,
  }
}

export type TestClient = RegistryClient & AsyncDisposable

/** A client that lets go of everything at the end of its block. */
export function startClient(
  settings: RegistrySettings,
  more: Partial<Omit<RegistryClientOptions, 'settings'>> = {},
): TestClient {
  const client = createRegistryClient({ settings, version: '0.0.0-test', ...more })
  return { ...client, [Symbol.asyncDispose]: () => client.close() }
}

export const repository = parseRepositoryName('library/app')
export const tag = parseReference('1.0')
export const manifest = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: `sha256:${'a'.repeat(64)}`,
      size: 2,
    },
    layers: [],
  }),
)
export const manifestDigest = digestOf(manifest)
export const blob = Buffer.from('the bytes of a layer')
export const blobDigest = digestOf(blob)

export function never(): AbortSignal {
  return new AbortController().signal
}

export function sendManifest(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': mediaTypes.ociManifest, 'docker-content-digest': manifestDigest })
  response.end(manifest)
}

/** What a promise rejects with; fails the test when it does not. */
export async function failureOf(work: Promise<unknown>): Promise<UpstreamError> {
  try {
    await work
  } catch (error) {
    return error as UpstreamError
  }
  throw new Error('it was expected to fail, but it did not')
}
