import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { createPusher, startHosted } from '../support/hosted.ts'
import { contentOf } from '../support/images.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { describeWith } from '../support/tools.ts'
import { traced } from './support/traced.ts'

const empty = contentOf(mediaTypes.ociIndex, Buffer.from('{"schemaVersion":2,"manifests":[]}'))
const calls = 'write,writev,sendto,sendmsg,fsync,fdatasync,rename,renameat,renameat2'

describeWith(['strace'], 'what is answered 201', () => {
  test.each([
    'blob',
    'manifest',
  ] as const)('is on the disk before, as a %s: its bytes, its name, the database', {
    timeout: 120_000,
  }, async (kind) => {
    const order = await orderOf('full', kind)
    const places = ['bytes', 'name', 'folder', 'database', 'answer'].map((what) => order.indexOf(what))
    expect(places, order.join()).not.toContain(-1)
    expect(places, order.join()).toEqual([...places].sort((a, b) => a - b))
  })

  test('with fast durability costs no sync', { timeout: 120_000 }, async () => {
    const order = await orderOf('fast', 'blob')
    expect(order).toEqual(['name', 'answer'])
  })
})

/** What happened of the things that matter, in the order in which it was done with, while one was pushed. */
async function orderOf(durability: string, kind: 'blob' | 'manifest'): Promise<string[]> {
  await using folder = await temporaryDirectory()
  await using edge = await startHosted({ env: { OUTPORT_DURABILITY: durability } })
  const client = createPusher(edge)
  const blob = (seed: string) => {
    const bytes = Buffer.from(pseudoRandomBytes(200_000, seed))
    return { bytes, digest: digestOf(bytes) }
  }
  await client.pushBlob('team/app', blob('before'))
  const { bytes, digest } = kind === 'blob' ? blob('traced') : empty
  const location = kind === 'blob' ? await client.begin('team/app') : ''
  const file = join(folder.path, 'trace')
  {
    await using _trace = await traced(edge.pid, ['-y', '-s', '32', '-e', `trace=${calls}`, '-o', file])
    const put =
      kind === 'blob'
        ? client.send('PUT', `${location}&digest=${digest}`, { body: bytes })
        : client.putManifest('team/app', empty, '1')
    expect((await put).status).toBe(201)
  }
  return eventsIn(await readFile(file, 'latin1'), digest.slice('sha256:'.length))
}

/** A call that others came between is told twice: its end is what counts. */
function eventsIn(text: string, hex: string): string[] {
  const begun = new Map<string, string>()
  return text.split('\n').flatMap((line) => {
    const [, thread = '', rest = ''] = /^(\d+) +(.*)$/.exec(line) ?? []
    if (rest.includes('<unfinished')) {
      begun.set(thread, rest)
      return []
    }
    const call = rest.startsWith('<...') ? `${begun.get(thread) ?? ''}${rest}` : rest
    const event = eventOf(call, hex)
    return event === undefined ? [] : [event]
  })
}

function eventOf(call: string, hex: string): string | undefined {
  const isSync = /^f(data)?sync\(/.test(call)
  if (isSync && call.includes('/uploads/')) return 'bytes'
  if (isSync && call.includes(`/blobs/sha256/${hex.slice(0, 2)}>`)) return 'folder'
  if (isSync && call.includes('outport.db-wal>')) return 'database'
  if (/^rename/.test(call) && call.includes(`${hex}"`)) return 'name'
  return /^(write|writev|send\w+)\(\d+<(socket|TCP).*HTTP\/1\.1 201/.test(call) ? 'answer' : undefined
}
