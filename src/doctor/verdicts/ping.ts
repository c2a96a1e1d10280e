import type { Mistake } from '../findings.ts'
import type { Answer } from '../wire/exchange.ts'
import { statusMistake } from './status.ts'

/** distribution-spec "Determining Support", answered without a challenge. */
export function pingMistake(answer: Answer): Mistake | undefined {
  return statusMistake('GET /v2/', 'ping', answer) ?? versionMistake(answer)
}

/** The header that tells a registry of this kind; older clients look for it. */
export function versionMistake({ headers }: Answer): Mistake | undefined {
  if (/\bregistry\/2\.0\b/.test(String(headers['docker-distribution-api-version'] ?? ''))) return undefined
  return {
    code: 'api-version-missing',
    what: 'GET /v2/: no Docker-Distribution-Api-Version: registry/2.0 in the answer',
    advice: 'a proxy on the way drops headers, or what answers is no registry: let it pass all headers',
  }
}
