import { spawnSync } from 'node:child_process'
import { chmod, mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { prepareDataDirectory } from '../../src/coordination/data-directory.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { canMount } from '../support/tmpfs.ts'

test('everything is made, for this user only, and told by name', async () => {
  await using parent = await temporaryDirectory()
  const root = join(parent.path, 'new', 'data')
  const data = await prepareDataDirectory(root)

  expect(data).toEqual({
    database: join(root, 'outport.db'),
    arrivals: join(root, 'arrivals'),
    blobs: join(root, 'blobs'),
    fills: join(root, 'fills'),
    uploads: join(root, 'uploads'),
    quarantine: join(root, 'quarantine'),
    keys: join(root, 'keys'),
  })
  expect((await readdir(root)).sort()).toEqual(['blobs', 'fills', 'keys', 'quarantine', 'uploads'])
  for (const folder of ['.', 'blobs', 'fills', 'uploads', 'quarantine', 'keys']) {
    expect((await stat(join(root, folder))).mode & 0o777, folder).toBe(0o700)
  }
})

test('what is there already is kept as it is', async () => {
  await using directory = await temporaryDirectory()
  await mkdir(join(directory.path, 'blobs'))
  await chmod(join(directory.path, 'blobs'), 0o750)
  await writeFile(join(directory.path, 'blobs', 'kept'), 'bytes')
  const { blobs } = await prepareDataDirectory(directory.path)

  expect(await readdir(blobs)).toEqual(['kept'])
  expect((await stat(blobs)).mode & 0o777).toBe(0o750)
})

test('a file in the place of a folder is named', async () => {
  await using directory = await temporaryDirectory()
  const fills = join(directory.path, 'fills')
  await writeFile(fills, '')
  await expect(prepareDataDirectory(directory.path)).rejects.toThrow(
    `cannot use the data folder ${fills}: it is not a folder (EEXIST)`,
  )
})

test('a file on the way to the folder is named', async () => {
  await using directory = await temporaryDirectory()
  await writeFile(join(directory.path, 'file'), '')
  const root = join(directory.path, 'file', 'data')
  await expect(prepareDataDirectory(root)).rejects.toThrow(
    `cannot use the data folder ${root}: a part of its path is not a folder (ENOTDIR)`,
  )
})

test.skipIf(!canMount())(
  'read-only mount: a folder that cannot be made, or be written to, is named',
  async () => {
    await using directory = await temporaryDirectory()
    const empty = join(directory.path, 'empty')
    const filled = join(directory.path, 'filled')
    await mkdir(empty)
    await prepareDataDirectory(filled)
    for (const [folder, named] of [
      [empty, empty],
      [filled, filled],
      [join(filled, 'blobs'), join(filled, 'blobs')],
    ] as const) {
      expect(spawnSync('mount', ['--bind', '-o', 'ro', folder, folder]).status).toBe(0)
      try {
        const root = folder === empty ? empty : filled
        await expect(prepareDataDirectory(root)).rejects.toThrow(
          `cannot use the data folder ${named}: the file system is read-only (EROFS)`,
        )
      } finally {
        spawnSync('umount', [folder])
      }
    }
  },
)
