import { once } from 'node:events'
import { Agent, get, type IncomingMessage } from 'node:http'
import type { Load, LoadOptions } from './load.ts'

/** `load-client.ts URL OPTIONS`: prints a {@link Load} as JSON. */
async function work(url: string, { connections, seconds, headers }: LoadOptions): Promise<Load> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const startedAt = performance.now()
  const until = startedAt + seconds * 1000
  let requests = 0
  async function ask(): Promise<void> {
    while (performance.now() < until) {
      const request = get(url, { agent, headers })
      const [response] = (await once(request, 'response')) as [IncomingMessage]
      response.resume()
      await once(response, 'end')
      if (response.statusCode !== 200) throw new Error(`${url}: status ${response.statusCode}`)
      requests++
    }
  }
  await Promise.all(Array.from({ length: connections }, ask))
  agent.destroy()
  return { requests, requestsPerSecond: (requests * 1000) / (performance.now() - startedAt) }
}

const [url = '', options = '{}'] = process.argv.slice(2)
console.log(JSON.stringify(await work(url, JSON.parse(options))))
