import { once } from 'node:events'
import { createServer, request as forward, type IncomingHttpHeaders } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import type { KeyAndCertificate } from '../../support/certificates.ts'

export interface Asked {
  method: string
  /** Path and query. */
  url: string
  headers: IncomingHttpHeaders
}

export interface Told {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: Buffer
  /** The connection ends after so many bytes of the body. */
  cutAt?: number
}

export interface FrontOptions {
  /** Default: nobody; `change` answers everything. */
  target?: string
  tls?: KeyAndCertificate
  /** What goes on its way instead of what the target has told; `hang`: nothing. */
  change?: (told: Told, asked: Asked) => Told | 'hang'
  /** What the target is asked instead. */
  ask?: (asked: Asked) => Asked
}

/** Something between a client and a node that changes what passes. */
export interface Front extends AsyncDisposable {
  readonly url: string
  readonly host: string
  readonly asked: readonly Asked[]
}

export async function startFront(options: FrontOptions): Promise<Front> {
  const { target, tls, change = (told) => told, ask = (asked) => asked } = options
  const asked: Asked[] = []
  const server = tls ? createTlsServer(tls) : createServer()
  server.on('request', async ({ method = '', url = '', headers }, outgoing) => {
    const now = { method, url, headers }
    asked.push(now)
    const told = change(
      target === undefined
        ? { status: 404, headers: {}, body: Buffer.alloc(0) }
        : await pass(target, ask(now)),
      now,
    )
    if (told === 'hang') return
    const said = Object.entries(told.headers).filter(([, value]) => value !== undefined)
    outgoing.writeHead(told.status, Object.fromEntries(said))
    if (told.cutAt === undefined) outgoing.end(method === 'HEAD' ? undefined : told.body)
    else outgoing.write(told.body.subarray(0, told.cutAt), () => outgoing.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url: `${tls ? 'https' : 'http'}://${host}`,
    host,
    asked,
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

/** The Host stays as it was asked. */
async function pass(target: string, { method, url, headers }: Asked): Promise<Told> {
  const passed = forward(new URL(url, target), { method, headers }).end()
  const [response] = await once(passed, 'response')
  const body = await buffer(response)
  const { connection: _, 'keep-alive': __, 'transfer-encoding': ___, ...kept } = response.headers
  return { status: response.statusCode, headers: kept, body }
}
