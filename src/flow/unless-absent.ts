import { errorCodeOf } from './error-code.ts'

/** A file that is not there is an answer; that one could not tell is an exception. */
export async function unlessAbsent<Value>(work: Promise<Value>): Promise<Value | undefined> {
  try {
    return await work
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return undefined
    throw error
  }
}
