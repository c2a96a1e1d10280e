import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'

export interface TestProxy extends AsyncDisposable {
  readonly url: string
  /** What it was asked to connect to or to fetch, with the credential it was shown. */
  readonly asked: { target: string; authorization: string | undefined }[]
}

/** A forward proxy that leads every request to `port` on loopback, whatever its name says. */
export async function startProxy(port: number): Promise<TestProxy> {
  const asked: TestProxy['asked'] = []
  const server = createServer((request, response) => {
    asked.push({ target: request.url ?? '', authorization: request.headers['proxy-authorization'] })
    response.writeHead(204).end()
  })
  const sockets = new Set<{ destroy(): void }>()
  server.on('connection', (socket) => sockets.add(socket))
  server.on('connect', (request, socket, head) => {
    asked.push({ target: request.url ?? '', authorization: request.headers['proxy-authorization'] })
    const upstream = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      upstream.write(head)
      upstream.pipe(socket).pipe(upstream)
    })
    upstream.on('error', () => socket.destroy())
    socket.on('error', () => upstream.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}
