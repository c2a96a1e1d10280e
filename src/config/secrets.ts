import { readFile, stat } from 'node:fs/promises'
import type { Secrets } from '../policy/registries.ts'

const maxBytes = 1024 * 1024

/** The secrets that policies name: variables of this environment, and files as they are at that moment. */
export function createSecrets(env: Readonly<Record<string, string | undefined>>): Secrets {
  return {
    env: (name) => (Object.hasOwn(env, name) ? env[name] : undefined),
    file: readText,
  }
}

async function readText(path: string): Promise<string> {
  // Asked before it is opened, because opening a FIFO waits for its writer.
  const found = await stat(path)
  if (!found.isFile()) throw Object.assign(new Error('no file'), { code: 'EISDIR' })
  if (found.size > maxBytes) throw Object.assign(new Error('more than 1 MiB'), { code: 'EFBIG' })
  return await readFile(path, 'utf8')
}
