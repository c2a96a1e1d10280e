import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import * as z from 'zod'
import { unlessAbsent } from '../flow/unless-absent.ts'
import { digestAlgorithms } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/reference.ts'

/** What a client carries from one request of an upload to the next. */
export interface UploadState {
  /** To which the blob is pushed. */
  repository: RepositoryName
  id: string
  /** Where what follows begins. */
  offset: number
  algorithm: (typeof digestAlgorithms)[number]
}

/** Signs what clients carry, for this site and no other. */
export interface UploadStates {
  /** Of letters, digits, `-`, `_` and a dot. */
  sign(state: UploadState): string
  /** `undefined` for what was not signed here, or for another upload. */
  read(text: string | undefined, repository: RepositoryName, id: string): UploadState | undefined
}

const shape = z.object({
  repository: z.string(),
  id: z.string(),
  offset: z.number().int().nonnegative(),
  algorithm: z.enum(digestAlgorithms),
  site: z.string(),
})
const json = z
  .string()
  .transform((text, context) => {
    try {
      return JSON.parse(text) as unknown
    } catch {
      context.addIssue('no JSON')
      return z.NEVER
    }
  })
  .pipe(shape)
const keyBytes = 32

/**
 * @param file of the key, made when it is not there
 * @throws naming the file when it holds no key
 */
export async function openUploadStates(file: string, site: string): Promise<UploadStates> {
  const key = await readKey(file)
  const signatureOf = (text: string) => createHmac('sha256', key).update(text).digest()

  return {
    sign(state) {
      const text = Buffer.from(JSON.stringify({ ...state, site })).toString('base64url')
      return `${text}.${signatureOf(text).toString('base64url')}`
    },
    read(signed, repository, id) {
      const [text = '', signature = '', ...more] = signed?.split('.') ?? []
      const given = Buffer.from(signature, 'base64url')
      const right = signatureOf(text)
      if (more.length > 0 || given.length !== right.length || !timingSafeEqual(given, right)) return undefined
      const { data: state } = json.safeParse(Buffer.from(text, 'base64url').toString())
      if (state?.site !== site || state.repository !== repository || state.id !== id) return undefined
      return { repository, id, offset: state.offset, algorithm: state.algorithm }
    },
  }
}

async function readKey(file: string): Promise<Buffer> {
  const found = await unlessAbsent(readFile(file))
  if (found && found.length !== keyBytes) throw new Error(`${file} holds no key: move it away for a new one`)
  if (found) return found
  const key = randomBytes(keyBytes)
  await writeFile(file, key, { mode: 0o600, flag: 'wx', flush: true })
  return key
}
