import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { unlessAbsent } from '../flow/unless-absent.ts'
import { isScrypt, scryptOf } from './scrypt.ts'

export const administratorName = 'admin'

/** The one account that every site with something to log in for has. */
export interface Administrator {
  /** `undefined` while there is no such account. */
  verifier(): Promise<string | undefined>
  /** Makes the account with a random password, unless there is one. @returns the password, this once */
  ensure(): Promise<string | undefined>
}

/**
 * @param file of the verifier of a password that was made here
 * @param given the operator's password, which holds instead
 * @throws naming the file when it holds no verifier
 */
export async function openAdministrator(file: string, given: string | undefined): Promise<Administrator> {
  let verifier = await readVerifier(file)
  /** Hashed when somebody logs in: at a start nobody waits for it. */
  let ofGiven: Promise<string> | undefined
  let making: Promise<string> | undefined

  async function make(): Promise<string> {
    const password = randomBytes(18).toString('base64url')
    const made = await scryptOf(password)
    await writeFile(file, `${made}\n`, { mode: 0o600, flag: 'wx', flush: true })
    verifier = made
    return password
  }
  return {
    async verifier() {
      if (given === undefined) return verifier
      ofGiven ??= scryptOf(given)
      return ofGiven
    },
    async ensure() {
      if (given !== undefined || verifier !== undefined || making) return undefined
      making = make().finally(() => {
        making = undefined
      })
      return making
    },
  }
}

async function readVerifier(file: string): Promise<string | undefined> {
  const text = await unlessAbsent(readFile(file, 'utf8'))
  const verifier = text?.trim()
  if (verifier !== undefined && !isScrypt(verifier))
    throw new Error(`${file} holds no verifier: move it away for a new password`)
  return verifier
}
