import type { Config } from '../config/config.ts'
import { errorCodeOf } from '../flow/error-code.ts'
import { type Certificates, loadCertificates } from '../http/certificates.ts'
import { followFiles } from '../http/followed-files.ts'
import type { Logger } from '../log.ts'
import { ownFilesOf } from '../tls/own-files.ts'
import type { Takeover } from './troubles.ts'

export interface FollowedCertificates extends Certificates {
  reloaded(): Takeover
}

/**
 * Those that the doors need, read again when their files have changed; the log tells what became of that.
 * @throws in one line what is missing or wrong
 */
export async function openCertificates(
  config: Config,
  log: Logger,
  owned: AsyncDisposableStack,
): Promise<FollowedCertificates> {
  const isSecure = [config.listen, config.mirrorListen, config.metricsListen].some(
    (listeners) => Array.isArray(listeners) && listeners.some(({ scheme }) => scheme === 'https'),
  )
  const needed = { ...config, tls: isSecure ? config.tls : [] }
  const followed = followFiles({ files: filesOf(needed), onChange: () => void reload().catch(() => {}) })
  owned.defer(() => followed.close())
  await followed.note()
  const certificates = await load(needed)
  let taken: Takeover = { at: Date.now() }

  async function reload(): Promise<void> {
    try {
      await followed.note()
      await certificates.reload()
      taken = { at: Date.now() }
    } catch (err) {
      taken.failed = 'the certificates cannot be read again; the old ones go on'
      log.error({ err }, 'the old certificates go on')
      throw err
    }
    if (isSecure) log.info({ certificates: certificates.served() }, 'certificates loaded')
  }
  return { ...certificates, reload, reloaded: () => taken }
}

function filesOf({ tls, tlsCa }: Config): string[] {
  return [...tls.flatMap(({ cert, key }) => [cert, key]), ...(tlsCa ? [tlsCa.file] : [])]
}

async function load({ tls, tlsIsOwn, tlsCa, data }: Config): Promise<Certificates> {
  try {
    return await loadCertificates(tls, tlsCa)
  } catch (error) {
    const isAbsent = error instanceof Error && errorCodeOf(error.cause) === 'ENOENT'
    if (!tlsIsOwn || !isAbsent) throw error
    const { folder } = ownFilesOf(data)
    throw new Error(`https needs a certificate, and there is none in ${folder}: run outport tls init`, {
      cause: error,
    })
  }
}
