import type { Digest } from '../../oci/digest.ts'
import type { Mistake } from '../findings.ts'
import type { Answer } from '../wire/exchange.ts'
import { bytesMistake } from './manifest.ts'
import { statusMistake } from './status.ts'

/** A blob that was asked for whole. */
export function blobMistake(what: string, digest: Digest, answer: Answer): Mistake | undefined {
  const bad = statusMistake(what, 'blob', answer)
  if (bad || isRedirect(answer)) return bad
  return bytesMistake(what, digest, answer)
}

/** The rest of a blob, from byte `from` on, as after a connection that broke. @param whole its bytes */
export function rangeMistake(what: string, whole: Buffer, from: number, answer: Answer): Mistake | undefined {
  const bad = statusMistake(what, 'blob', answer)
  if (bad || isRedirect(answer)) return bad
  const { status, headers, body } = answer
  if (status !== 206)
    return {
      code: 'range-ignored',
      what: `${what}: the whole (200) instead of the part that was asked for (206)`,
      advice: 'a proxy on the way drops Range or buffers whole answers: switch that off for /v2/ there',
    }
  const isRight = headers['content-range'] === `bytes ${from}-${whole.length - 1}/${whole.length}`
  return isRight && body.equals(whole.subarray(from))
    ? undefined
    : {
        code: 'range-ignored',
        what: `${what}: another part than the one that was asked for (${headers['content-range'] ?? 'no Content-Range'})`,
        advice: 'a proxy on the way answers ranges by itself and wrongly: switch that off for /v2/ there',
      }
}

/** To where the bytes are kept; clients follow it. */
export function isRedirect({ status }: Answer): boolean {
  return status >= 300 && status < 400
}
