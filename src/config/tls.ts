import { ownFilesOf } from '../tls/own-files.ts'
import type { Config } from './config.ts'
import { oneOf, type Read } from './reader.ts'

export type Tls = Pick<Config, 'tls' | 'tlsIsOwn' | 'tlsCa' | 'tlsRedirect'>

/** @param data the folder that holds what stands in for certificates that nobody names */
export function readTls(read: Read, path: (text: string) => string, data: string, problems: string[]): Tls {
  const some = 'paths of files with commas between them'
  const files = (text: string) => text.split(',').map((each) => path(parseFile(each.trim(), some)))
  const certs = read('OUTPORT_TLS_CERT', files)
  const keys = read('OUTPORT_TLS_KEY', files)
  const ca = read('OUTPORT_TLS_CA', (text) => path(parseFile(text, 'the path of a file')))
  if (certs?.length !== keys?.length) {
    const counts = `${certs?.length ?? 0} and ${keys?.length ?? 0}`
    problems.push(
      `OUTPORT_TLS_CERT and OUTPORT_TLS_KEY: expected as many certificates as keys, found ${counts}`,
    )
  }
  const tlsIsOwn = !certs && !keys
  const own = ownFilesOf(data)
  const named = (certs ?? []).map((cert, at) => Object.freeze({ cert, key: keys?.[at] ?? '' }))
  const ownCa = { file: own.ca, isRequired: false }
  return {
    tls: Object.freeze(tlsIsOwn ? [Object.freeze({ cert: own.cert, key: own.key })] : named),
    tlsIsOwn,
    ...(ca !== undefined && { tlsCa: Object.freeze({ file: ca, isRequired: true }) }),
    ...(ca === undefined && tlsIsOwn && { tlsCa: Object.freeze(ownCa) }),
    tlsRedirect: read('OUTPORT_TLS_REDIRECT', oneOf(['on', 'off'])) === 'on',
  }
}

function parseFile(text: string, expected: string): string {
  if (text === '' || text.includes('-----BEGIN')) throw new SyntaxError(expected)
  return text
}
