import { execFile } from 'node:child_process'
import { mkdir, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { temporaryDirectory } from '../../support/temporary.ts'

const run = promisify(execFile)

/** A file system of its own in a file. */
export interface StoreImage extends AsyncDisposable {
  /** Where it is mounted. */
  readonly path: string
  /**
   * What a power cut would leave now, mounted: what the system has not written yet is not in it.
   * @param holdStill nothing may be written to this one while it is copied: what does, stops until this is disposed of
   */
  afterPowerCut(holdStill: () => Disposable): Promise<StoreImage>
}

/** ext4 with its journal, as most machines have it. @throws where this user may not mount */
export async function createStoreImage(bytes: number): Promise<StoreImage> {
  await using owned = new AsyncDisposableStack()
  const { path: folder } = owned.use(await temporaryDirectory())
  const file = join(folder, 'store.img')
  await writeFile(file, '')
  await truncate(file, bytes)
  await run('mkfs.ext4', ['-q', '-F', '-m', '0', file])
  const image = owned.use(await mounted(file, folder))
  const held = owned.move()
  return { ...image, [Symbol.asyncDispose]: () => held.disposeAsync() }
}

async function mounted(file: string, folder: string): Promise<StoreImage> {
  const path = join(folder, 'mounted')
  await mkdir(path)
  // Its journal is played back here, as after any power cut.
  await run('mount', ['-o', 'loop', file, path])
  return {
    path,
    async afterPowerCut(holdStill) {
      await using owned = new AsyncDisposableStack()
      const { path: place } = owned.use(await temporaryDirectory())
      const copy = join(place, 'store.img')
      {
        using _still = holdStill()
        await copyOf(file, copy)
      }
      const image = owned.use(await mounted(copy, place))
      const held = owned.move()
      return { ...image, [Symbol.asyncDispose]: () => held.disposeAsync() }
    },
    async [Symbol.asyncDispose]() {
      await run('umount', [path])
    },
  }
}

/** Of one moment: the system may still write while it is copied, and then it is copied again. */
async function copyOf(file: string, copy: string): Promise<void> {
  const again = `${copy}.again`
  for (;;) {
    for (const target of [copy, again]) await run('cp', ['--sparse=always', file, target])
    const isSame = await run('cmp', ['-s', copy, again]).then(
      () => true,
      () => false,
    )
    await rm(again)
    if (isSame) return
  }
}
