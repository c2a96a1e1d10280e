import type { Config } from '../config/config.ts'
import { errorCodeOf } from '../flow/error-code.ts'
import { type Certificates, loadCertificates } from '../http/certificates.ts'
import type { Logger } from '../log.ts'
import { ownFilesOf } from '../tls/own-files.ts'

/** Those that the doors need, which say in the log what became of a reload. @throws in one line what is missing or wrong */
export async function openCertificates(config: Config, log: Logger): Promise<Certificates> {
  const isSecure = [config.listen, config.mirrorListen, config.metricsListen].some(
    (listeners) => Array.isArray(listeners) && listeners.some(({ scheme }) => scheme === 'https'),
  )
  const certificates = await load(config, isSecure)
  return {
    ...certificates,
    async reload() {
      try {
        await certificates.reload()
      } catch (err) {
        log.error({ err }, 'the old certificates go on')
        throw err
      }
      if (isSecure) log.info({ certificates: certificates.served() }, 'certificates loaded')
    },
  }
}

async function load({ tls, tlsIsOwn, tlsCa, data }: Config, isSecure: boolean): Promise<Certificates> {
  try {
    return await loadCertificates(isSecure ? tls : [], tlsCa)
  } catch (error) {
    const isAbsent = error instanceof Error && errorCodeOf(error.cause) === 'ENOENT'
    if (!isSecure || !tlsIsOwn || !isAbsent) throw error
    const { folder } = ownFilesOf(data)
    throw new Error(`https needs a certificate, and there is none in ${folder}: run outport tls init`, {
      cause: error,
    })
  }
}
