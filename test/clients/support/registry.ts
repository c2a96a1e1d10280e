import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { toolPath } from '../../support/tools.ts'
import { startDaemon } from './command.ts'

/** A registry that others wrote: distribution v3, or Debian's docker-registry 2.8. */
export type RegistryKind = 'distribution v3' | 'docker-registry'

export interface Registry extends AsyncDisposable {
  readonly url: URL
  /** Its root directory. */
  readonly data: string
}

/** Storage in a temporary folder, open to everybody, on loopback. With `proxy` it is a pull-through cache of that registry. */
export async function startRegistry(kind: RegistryKind, options: { proxy?: URL } = {}): Promise<Registry> {
  await using owned = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'outport-registry-'))
  owned.defer(() => rm(directory, { recursive: true, force: true }))
  const url = new URL(`http://127.0.0.1:${await freePort()}/`)
  const data = join(directory, 'data')
  const config = join(directory, 'config.yml')
  await writeFile(config, configOf(url.host, data, options.proxy))

  const ready = () => fetch(new URL('/v2/', url)).then((response) => response.body?.cancel())
  owned.use(await startDaemon(toolPath(kind), ['serve', config], { ready }))
  const held = owned.move()
  return { url, data, [Symbol.asyncDispose]: () => held.disposeAsync() }
}

function configOf(address: string, data: string, proxy: URL | undefined): string {
  return `version: 0.1
log: { level: error, accesslog: { disabled: true } }
storage:
  filesystem: { rootdirectory: ${data} }
http: { addr: '${address}' }
${proxy ? `proxy: { remoteurl: '${proxy.origin}' }\n` : ''}`
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const bound = server.address()
  server.close()
  await once(server, 'close')
  if (typeof bound !== 'object' || !bound) throw new Error('no port')
  return bound.port
}
