import type { Clock } from '../flow/clock.ts'
import type { DiskTrouble } from '../flow/disk-trouble.ts'
import { errorCodeOf } from '../flow/error-code.ts'
import { createTroubles, type Finding, type TroubleSource, type Troubles } from '../flow/troubles.ts'
import type { ServedCertificate } from '../http/certificates.ts'
import type { Gc } from '../jobs/gc.ts'
import { NoRoomError, type Space } from '../jobs/space.ts'
import type { FollowedCertificates } from './certificates.ts'
import type { Parts } from './handlers.ts'

/** What the operator last asked this node to take up, and whether it could. */
export interface Takeover {
  /** What is wrong with it now; what was taken up before goes on. */
  failed?: string
  /** Milliseconds since 1970: when it last went well. */
  at: number
}

export interface TroublesOptions {
  parts: Parts
  clock: Clock
  certificates: FollowedCertificates
  policies(): Takeover
  gc: Pick<Gc, 'hasFailed'>
}

/** Follows them, and says in the log when they begin and end. */
export function openTroubles(options: TroublesOptions): Troubles {
  const log = options.parts.log.part('trouble')
  return createTroubles({
    sources: sourcesOf(options),
    onBegun: ({ code, about, message }) => log.warn({ code, about }, message),
    onOver: ({ code, about, since, message }) => log.info({ code, about, since }, `no more: ${message}`),
  })
}

function sourcesOf({ parts, clock, certificates, policies, gc }: TroublesOptions): TroubleSource[] {
  const { clients, fills, stores } = parts
  return [
    () =>
      clients
        .all()
        .filter((client) => client.isUnreachable())
        .map(({ settings: { name } }) => ({
          code: 'upstream-down',
          about: name,
          message: `registry ${name} does not answer`,
        })),
    () => ofDisk(fills.trouble(), 'layers are passed on and not kept', 'the disk keeps no layers'),
    () => ofDisk(stores.pushDisk.trouble(), 'pushes are refused', 'the disk takes no pushes'),
    () => ofSpace(stores.space.state().shortage),
    () => {
      clock.tick()
      return maybe('clock-wrong', clock.doubt())
    },
    () => certificates.served().flatMap((each) => ofCertificate(each, Date.now())),
    () => maybe('certificates-not-loaded', certificates.reloaded().failed),
    () => maybe('database', stores.metadata.trouble()),
    () => maybe('policies-wrong', policies().failed),
    () => maybe('gc-failed', gc.hasFailed() ? 'garbage could not be collected: the log says why' : undefined),
  ]
}

function maybe(code: Finding['code'], message: string | undefined): Finding[] {
  return message === undefined ? [] : [{ code, message }]
}

const diskReasons: Readonly<Record<string, string>> = {
  ENOSPC: 'it is full',
  EDQUOT: 'the quota is used up',
  EROFS: 'it is read-only',
  EFBIG: 'a file may not be so large',
  EIO: 'it fails to read or write',
}

/** @param unkept @param refused what follows from it: while the budget is used up, and while the disk is */
function ofDisk(trouble: DiskTrouble | undefined, unkept: string, refused: string): Finding[] {
  if (!trouble) return []
  if (trouble.error instanceof NoRoomError) return maybe('cache-full', `${unkept}: ${trouble.error.message}`)
  const reason = diskReasons[errorCodeOf(trouble.error) ?? ''] ?? 'it cannot be used'
  return maybe(trouble.kind === 'full' ? 'disk-full' : 'disk-broken', `${refused}: ${reason}`)
}

function ofSpace(shortage: ReturnType<Space['state']>['shortage']): Finding[] {
  if (shortage === 'nothing may go') {
    return maybe('cache-full', 'the cache is over its budget, and what is in it is in use, pinned or pushed')
  }
  return shortage === 'others'
    ? maybe('disk-full', 'the disk is full of other things than the cache, which therefore gives nothing up')
    : []
}

const dayMs = 86_400_000

/** By its names: everybody who connects is shown them. */
function ofCertificate({ names, notAfter }: ServedCertificate, now: number): Finding[] {
  const leftMs = notAfter - now
  const about = names[0] ?? 'without a name'
  const end = new Date(notAfter).toISOString()
  if (leftMs <= 0)
    return [
      {
        code: 'certificate-ended',
        about,
        since: notAfter,
        message: `the certificate for ${about} ended on ${end}`,
      },
    ]
  const [code, days] =
    leftMs <= 7 * dayMs ? (['certificate-ending-soon', 7] as const) : (['certificate-ending', 30] as const)
  if (leftMs > days * dayMs) return []
  return [
    { code, about, since: notAfter - days * dayMs, message: `the certificate for ${about} ends on ${end}` },
  ]
}
