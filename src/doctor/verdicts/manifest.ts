import { algorithmOf, type Digest, digestOf, isDigest } from '../../oci/digest.ts'
import { acceptedManifests } from '../../oci/manifest.ts'
import type { Mistake } from '../findings.ts'
import type { Answer } from '../wire/exchange.ts'
import { statusMistake } from './status.ts'

const wholeHeaders = 'a proxy on the way changes headers: let it pass those of the node as they are'
const wholeBytes =
  'a proxy on the way changes what passes: switch off compression and rewriting for /v2/ there'

/** @param digest what was asked for, when it was asked for by digest */
export function manifestMistake(
  what: string,
  digest: Digest | undefined,
  answer: Answer,
): Mistake | undefined {
  return (
    statusMistake(what, 'manifest', answer) ?? bytesMistake(what, digest, answer) ?? headMistake(what, answer)
  )
}

/** Of an answer to HEAD, too: what clients take from it. */
export function headMistake(what: string, answer: Answer): Mistake | undefined {
  const bad = statusMistake(what, 'manifest', answer)
  if (bad) return bad
  const type = answer.headers['content-type']?.split(';')[0]?.trim() ?? 'none'
  if (!acceptedManifests.includes(type))
    return {
      code: 'media-type-wrong',
      what: `${what}: the Content-Type is ${type}, which is no manifest's`,
      advice: wholeHeaders,
    }
  const said = String(answer.headers['docker-content-digest'] ?? '')
  if (isDigest(said)) return undefined
  return {
    code: 'digest-missing',
    what: `${what}: no Docker-Content-Digest in the answer`,
    advice: wholeHeaders,
  }
}

/** What every client checks of bytes that it has asked for by digest. */
export function bytesMistake(what: string, digest: Digest | undefined, answer: Answer): Mistake | undefined {
  const { headers, body, complete } = answer
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity')
    return {
      code: 'encoded',
      what: `${what}: the answer is compressed on its way (Content-Encoding: ${encoding}), so its bytes are not those of the digest`,
      advice: wholeBytes,
    }
  if (!complete)
    return {
      code: 'cut',
      what: `${what}: the connection ends after ${body.length} of ${headers['content-length'] ?? 'its'} bytes`,
      advice: 'the log of the node says why, if it was the node; else look at proxies on the way',
    }
  const wanted = digest ?? claimed(headers['docker-content-digest'])
  if (wanted === undefined) return undefined
  const came = digestOf(body, algorithmOf(wanted))
  return came === wanted
    ? undefined
    : {
        code: 'digest-wrong',
        what: `${what}: the bytes are those of ${came}, not of ${wanted}`,
        advice: wholeBytes,
      }
}

function claimed(header: string | string[] | undefined): Digest | undefined {
  return typeof header === 'string' && isDigest(header) ? header : undefined
}
