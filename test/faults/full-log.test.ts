import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { mirrorPolicy } from '../support/edge.ts'
import { fetchBlob } from '../support/fetch-blob.ts'
import { createJournal, plainEnvironment, startNode } from '../support/node-process.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const entry = join(import.meta.dirname, '../../outport.js')

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address ? address.port : 0
}

test('a log on a disk that is full stops nothing, and grows nowhere else', async () => {
  await using folder = await temporaryDirectory()
  const policies = join(folder.path, 'policies')
  await mkdir(policies)
  await writeFile(join(policies, 'p.yaml'), mirrorPolicy({ url: 'http://127.0.0.1:9' }))
  const port = await freePort()
  const env = {
    ...plainEnvironment(),
    OUTPORT_LISTEN: `127.0.0.1:${port}`,
    OUTPORT_DATA: join(folder.path, 'data'),
    OUTPORT_POLICIES: policies,
  }
  const node = await startNode([entry, 'serve'], env, createJournal(), {
    through: ['sh', '-c', 'exec "$@" >/dev/full', 'sh'],
  })
  const ask = () =>
    fetchBlob(`http://127.0.0.1:${port}/livez`).then(
      ({ status }) => status,
      () => 0,
    )
  try {
    await expect.poll(ask, { timeout: 20_000 }).toBe(200)
    for (let at = 0; at < 50; at++) expect(await ask()).toBe(200)
  } finally {
    expect(await node.end('SIGTERM')).toEqual({ code: 0, signal: null })
  }
})
