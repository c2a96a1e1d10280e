import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { createSecrets } from '../../src/config/secrets.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { describeWith, toolPath } from '../support/tools.ts'

test('variables are read by name, and nothing that an object has by itself', () => {
  const secrets = createSecrets({ TOKEN: 'x' })
  expect(secrets.env('TOKEN')).toBe('x')
  expect(secrets.env('OTHER')).toBeUndefined()
  expect(secrets.env('constructor')).toBeUndefined()
})

test('files are read as they are at that moment', async () => {
  await using directory = await temporaryDirectory()
  const file = join(directory.path, 'token')
  const secrets = createSecrets({})
  await writeFile(file, 'one')
  expect(await secrets.file(file)).toBe('one')
  await writeFile(file, 'two')
  expect(await secrets.file(file)).toBe('two')
})

describeWith(['mkfifo'], 'beside a pipe', () => {
  test('what is no small file is an error, and nothing waits for it', async () => {
    await using directory = await temporaryDirectory()
    const [pipe, large] = [join(directory.path, 'pipe'), join(directory.path, 'large')]
    await promisify(execFile)(toolPath('mkfifo'), [pipe])
    await writeFile(large, Buffer.alloc(1024 * 1024 + 1))
    const secrets = createSecrets({})
    await expect(secrets.file(pipe)).rejects.toThrow('no file')
    await expect(secrets.file(directory.path)).rejects.toThrow('no file')
    await expect(secrets.file(large)).rejects.toThrow('1 MiB')
    await expect(secrets.file(join(directory.path, 'none'))).rejects.toMatchObject({ code: 'ENOENT' })
  })
})
