import { readFile, stat } from 'node:fs/promises'
import { messageOf } from '../flow/message-of.ts'
import { isBcrypt } from './bcrypt.ts'

/** Verifiers by name, as a file of Apache's `htpasswd -B` has them. */
export type Htpasswd = ReadonlyMap<string, string>

export interface HtpasswdFile {
  /** As it is now; the last good one while it is broken. */
  current(): Promise<Htpasswd>
}

const maxBytes = 1024 * 1024
/** How old an answer may be. */
const lookMs = 1000

/**
 * @param reserved a name that no line may have
 * @param onBroken hears why a changed file is not followed, in one line
 * @throws in one line that names the file, and the line that is wrong, when it cannot be used
 */
export async function openHtpasswd(
  file: string,
  reserved: string,
  onBroken: (error: unknown) => void,
): Promise<HtpasswdFile> {
  let generation = await generationOf(file)
  let users = await read(file, reserved)
  let lookedAt = performance.now()

  async function look(): Promise<void> {
    try {
      const found = await generationOf(file)
      if (found === generation) return
      generation = found
      users = await read(file, reserved)
    } catch (error) {
      onBroken(error)
    }
  }
  return {
    async current() {
      if (performance.now() - lookedAt >= lookMs) {
        lookedAt = performance.now()
        await look()
      }
      return users
    },
  }
}

async function generationOf(file: string): Promise<string> {
  const found = await stat(file, { bigint: true }).catch((cause: unknown) => {
    throw new Error(`cannot read ${file}: ${messageOf(cause)}`, { cause })
  })
  if (!found.isFile()) throw new Error(`cannot read ${file}: it is no file`)
  if (found.size > maxBytes) throw new Error(`cannot read ${file}: it is larger than 1 MiB`)
  return `${found.ino} ${found.mtimeNs} ${found.ctimeNs} ${found.size}`
}

async function read(file: string, reserved: string): Promise<Htpasswd> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new Error(`cannot read ${file}: ${messageOf(cause)}`, { cause })
  })
  try {
    return parseHtpasswd(text, reserved)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw new Error(`${file}:${error.message}`, { cause: error })
  }
}

/** @throws SyntaxError that begins with the number of the line; what stands there is not repeated */
export function parseHtpasswd(text: string, reserved: string): Htpasswd {
  const users = new Map<string, string>()
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const wrong = (reason: string) => new SyntaxError(`${index + 1}: ${reason}`)
    const colon = line.indexOf(':')
    const [name, verifier] = [line.slice(0, colon), line.slice(colon + 1).trim()]
    if (colon < 1 || !/^[\x21-\x7e]{1,255}$/.test(name))
      throw wrong('expected NAME:VERIFIER, as htpasswd -B writes it')
    if (name === reserved) throw wrong(`${reserved} is the administrator, and no user of this file`)
    if (users.has(name)) throw wrong('this name stands there twice')
    if (!isBcrypt(verifier))
      throw wrong('expected a bcrypt verifier of a cost up to 14, as htpasswd -B writes it')
    users.set(name, verifier)
  }
  return users
}
