import type { Config } from '../config/config.ts'
import type { Certificates } from '../http/certificates.ts'
import type { Logger } from '../log.ts'
import { readCertificates } from '../tls/described.ts'
import { ownFilesOf } from '../tls/own-files.ts'

export interface RenewalOptions {
  config: Pick<Config, 'data' | 'tlsIsOwn' | 'site'>
  certificates: Certificates
  log: Logger
}

const dayMs = 86_400_000
const renewBeforeMs = 30 * dayMs
const lookEveryMs = dayMs / 2

/**
 * Has the authority of `outport tls init` sign another certificate for the same names before the one that is served ends,
 * since nobody may log in where a node runs. Certificates from elsewhere are left alone.
 */
export function openRenewal(options: RenewalOptions): Disposable {
  const { config, log } = options
  const look = () =>
    void renew(options).catch((err: unknown) =>
      log.error({ err }, 'the certificate ends soon, and could not be renewed'),
    )
  if (!config.tlsIsOwn) return { [Symbol.dispose]() {} }
  const timer = setInterval(look, lookEveryMs).unref()
  look()
  return { [Symbol.dispose]: () => clearInterval(timer) }
}

async function renew({ config, certificates, log }: RenewalOptions): Promise<void> {
  const [served] = certificates.served()
  if (!served || served.notAfter - Date.now() > renewBeforeMs) return
  const files = ownFilesOf(config.data)
  const [authority] = await readCertificates(files.ca)
  // No certificate lasts longer than what has signed it.
  if (authority.validToDate.getTime() - served.notAfter < dayMs)
    throw new Error(`${files.ca} ends as well: make another authority with outport tls init --new-ca`)
  const { makeOwnCertificates } = await import('../tls/own-certificates.ts')
  const same = { names: [], namesOfMachine: served.names, newCa: false }
  await makeOwnCertificates({ files, ...same, host: config.site, now: new Date() })
  await certificates.reload()
  log.info({ file: files.cert }, 'the certificate was renewed')
}
