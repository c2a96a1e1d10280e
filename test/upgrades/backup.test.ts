import { mkdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startSite } from '../faults/support/site.ts'
import { pathOf } from '../faults/support/stored.ts'
import { outport, type Said } from '../support/command.ts'
import { startEdge } from '../support/edge.ts'
import { buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const policy = { project: { freshness: [{ tag: '**', for: '1d' }] } }
const imageOf = (number: number) => buildImage({ layers: [5000, 600_000], seed: `backup ${number}` })
const count = 30

test('a backup that is taken while images come is a node of its own elsewhere: all that was there before is there', {
  timeout: 90_000,
}, async () => {
  await using scratch = await temporaryDirectory()
  await using site = await startSite({ policy })
  for (let number = 0; number < count; number++)
    site.upstream.addImage('library/app', `${number}`, imageOf(number))
  const pullFrom = async (from: number, to: number) => {
    for (let number = from; number < to; number++) await pull(site.edge.url, 'library/app', `${number}`)
  }
  await pullFrom(0, 10)
  const copy = join(scratch.path, 'copy')
  const [told] = await Promise.all([
    outport(['backup', copy], { OUTPORT_DATA: site.edge.data }),
    pullFrom(10, count),
  ])
  expect([told.code, told.stderr]).toEqual([0, ''])
  expect(told.stdout).toMatch(/^copied \d+ \(\d.*MiB\) to \S+copy\n$/)
  expect((await stat(copy)).mode & 0o777).toBe(0o700)
  expect((await stat(join(copy, 'outport.db'))).mode & 0o777).toBe(0o600)

  const checked = await outport(['fsck'], { OUTPORT_DATA: copy, OUTPORT_POLICIES: site.edge.policies })
  expect(checked.stdout).toMatch(/^checked \d+ \(.*\): 0 rotten, 0 absent, 0 unknown, 0 mended\n$/)
  expect(checked.code).toBe(0)
  site.upstream.clear()
  await using restored = await startEdge({ data: copy, policies: site.edge.policies })
  for (let number = 0; number < 10; number++) await pull(restored.url, 'library/app', `${number}`)
  expect(site.upstream.requests.filter(({ kind }) => kind === 'blob')).toEqual([])
})

test('what is given up while it is copied is missing in the copy, and nothing else', async () => {
  await using scratch = await temporaryDirectory()
  await using site = await startSite({ policy, image: imageOf(0) })
  await pull(site.edge.url, 'library/app', '1')
  const layer = imageOf(0).layers[1]?.digest ?? ''
  // As if it went between the copy of the database and its own.
  await rm(pathOf(site.edge.data, layer))
  const copy = join(scratch.path, 'copy')
  const told = await outport(['backup', copy, '--json'], { OUTPORT_DATA: site.edge.data })
  expect(JSON.parse(told.stdout)).toMatchObject({ stored: 3, gone: 1 })
  const checked = await outport(['fsck', '--json'], {
    OUTPORT_DATA: copy,
    OUTPORT_POLICIES: site.edge.policies,
  })
  const found = checked.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(found[0]).toMatchObject({ digest: layer, what: 'absent' })
  expect(found.at(-1)).toMatchObject({ rotten: 0, absent: 1, unknown: 0 })
})

test('one clear line where it cannot be', async () => {
  await using scratch = await temporaryDirectory()
  const data = join(scratch.path, 'data')
  const backup = (folder: string): Promise<Said> => outport(['backup', folder], { OUTPORT_DATA: data })
  const refused = (message: string) => ({ code: 1, stdout: '', stderr: `outport: ${message}\n` })
  const copy = join(scratch.path, 'copy')
  expect(await backup(copy)).toEqual(refused(`there is no data: no folder ${data}`))
  await mkdir(data)
  expect(await backup(join(data, 'copy'))).toEqual(
    refused(`${join(data, 'copy')} is in ${data}: a backup goes elsewhere`),
  )
  await mkdir(copy)
  await writeFile(join(copy, 'mine'), '')
  expect(await backup(copy)).toEqual(refused(`${copy} is not empty: a backup needs a folder of its own`))
})
