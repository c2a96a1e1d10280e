import { once } from 'node:events'
import { createServer, request as forward, type IncomingHttpHeaders, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { pipeline } from 'node:stream'

export interface Recorded {
  host: string
  method: string
  /** Path and query, as it came. */
  url: string
  headers: IncomingHttpHeaders
}

/** Stands before a server, passes everything on unchanged and remembers what was asked. */
export interface Recorder extends AsyncDisposable {
  readonly port: number
  readonly requests: readonly Recorded[]
  /** What was asked since the last call, as `METHOD /path`, in the order of arrival. */
  take(): string[]
}

export interface RecorderOptions {
  target: URL
  /** Default 127.0.0.1. */
  address?: string
  /** Default: any. */
  port?: number
  tls?: { key: string; cert: string }
  /** Answers instead of the target when it returns a status. */
  intercept?: (recorded: Recorded) => Intercepted | undefined
}

export interface Intercepted {
  status: number
  headers?: Record<string, string>
  body?: string
}

export async function startRecorder(options: RecorderOptions): Promise<Recorder> {
  const { target, address = '127.0.0.1', port = 0, tls, intercept } = options
  const requests: Recorded[] = []
  let taken = 0
  const server: Server = tls ? createTlsServer(tls) : createServer()
  server.on('request', (incoming, outgoing) => {
    const { method = '', url = '', headers } = incoming
    const recorded = { host: headers.host ?? '', method, url, headers }
    requests.push(recorded)

    const instead = intercept?.(recorded)
    if (instead) {
      incoming.resume()
      outgoing.writeHead(instead.status, instead.headers).end(instead.body)
      return
    }
    const passed = forward(new URL(url, target), { method, headers: { ...headers, host: target.host } })
    passed.on('response', (response) => {
      outgoing.writeHead(response.statusCode ?? 502, response.headers)
      outgoing.flushHeaders()
      pipeline(response, outgoing, () => {})
    })
    passed.on('error', () => outgoing.destroy())
    pipeline(incoming, passed, () => {})
  })
  server.listen(port, address)
  await once(server, 'listening')
  const bound = server.address()
  return {
    port: typeof bound === 'object' && bound ? bound.port : port,
    requests,
    take() {
      const news = requests.slice(taken)
      taken = requests.length
      return news.map(({ method, url }) => `${method} ${url}`)
    },
    async [Symbol.asyncDispose]() {
      if (!server.listening) return
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
