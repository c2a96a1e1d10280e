import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { unlessAbsent } from '../../src/flow/unless-absent.ts'
import { startSite } from '../faults/support/site.ts'
import { flip, pathOf } from '../faults/support/stored.ts'
import { outport } from '../support/command.ts'
import { fetchBlob } from '../support/fetch-blob.ts'
import { buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { temporaryDirectory } from '../support/temporary.ts'

/** As a service manager that takes care of nothing starts a program. */
const careless = ['sh', '-c', 'umask 000; exec "$@"', 'sh']

/** Everything in a folder and itself, with its mode; files come and go meanwhile. */
async function modesIn(folder: string): Promise<{ path: string; mode: number }[]> {
  const names = await readdir(folder, { recursive: true })
  const modes = ['.', ...names].map(async (path) => {
    const found = await unlessAbsent(lstat(join(folder, path)))
    return found ? [{ path, mode: found.mode & 0o777 }] : []
  })
  return (await Promise.all(modes)).flat()
}

test('nobody but the user of the node may read or write anything of its data, whatever the umask', async () => {
  await using folder = await temporaryDirectory()
  const data = join(folder.path, 'made', 'data')
  const made = await outport(['tls', 'init'], { OUTPORT_DATA: data }, careless)
  expect(made.code).toBe(0)
  const [kept, stalled] = ['kept', 'stalled'].map((seed) =>
    buildImage({ layers: [14_000_000], seed, compression: 'none' }),
  )
  if (!kept || !stalled) throw new Error('no images')
  await using site = await startSite({
    data,
    edge: { through: careless },
    policy: { more: [{ kind: 'project', name: 'hosted' }] },
    env: { OUTPORT_MIRROR_LISTEN: '127.0.0.1:0' },
  })
  const { edge, upstream } = site
  upstream.addImage('library/kept', '1', kept)
  upstream.addImage('library/stalled', '1', stalled)
  await pull(edge.mirrorUrl, 'library/kept', '1')
  expect((await fetchBlob(`${edge.url}/.well-known/jwks.json`)).status).toBe(200)
  using _stall = upstream.fault({ on: { kind: 'blob' }, stallAt: 9_000_000 })
  const left = new AbortController()
  const read = (repository: string, digest = '') =>
    fetchBlob(`${edge.mirrorUrl}/v2/library/${repository}/blobs/${digest}`, { signal: left.signal }).catch(
      () => {},
    )
  read('stalled', stalled.layers[0]?.digest)
  await flip(pathOf(data, kept.layers[0]?.digest ?? ''), 13_000_000)
  read('kept', kept.layers[0]?.digest)

  const expected = [
    ...['.', 'outport.db', 'outport.db-wal', 'node.lock', 'node.lock.json', 'admin.sock'],
    ...['tls/ca.key', 'tls/server.key', 'keys/token.json'],
    ...[/^fills\/.*\.part$/, /^quarantine\/./, /^blobs\/.*\.extents$/].map((each) =>
      expect.stringMatching(each),
    ),
  ]
  const paths = () => modesIn(data).then((all) => all.map(({ path }) => path))
  await expect.poll(paths, { timeout: 15_000 }).toEqual(expect.arrayContaining(expected))
  expect(await openIn(folder.path)).toEqual([])

  left.abort()
  await edge.stop()
  expect(await openIn(folder.path)).toEqual([])
})

/** What others could read or write of it. */
async function openIn(folder: string): Promise<string[]> {
  const all = await modesIn(folder)
  return all.filter(({ mode }) => (mode & 0o077) !== 0).map(({ path, mode }) => `${path} ${mode.toString(8)}`)
}
