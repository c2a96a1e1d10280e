import { execFile } from 'node:child_process'
import { randomBytes, X509Certificate } from 'node:crypto'
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { namesIn } from '../../src/tls/names.ts'
import { makeOwnCertificates, type OwnCertificatesOptions } from '../../src/tls/own-certificates.ts'
import { ownFilesOf } from '../../src/tls/own-files.ts'
import { createAuthority } from '../support/certificates.ts'
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts'
import { describeWith } from '../support/tools.ts'

const dayMs = 86_400_000
const day = (days: number) => new Date(Date.now() + days * dayMs)
const machineNames = ['edge-7', 'localhost', '127.0.0.1', '::1']

interface Place extends TemporaryDirectory {
  files: ReturnType<typeof ownFilesOf>
  make(options?: Partial<OwnCertificatesOptions>): Promise<boolean>
  text(file: string): Promise<string>
  certificate(file: string): Promise<X509Certificate>
}

async function place(): Promise<Place> {
  const folder = await temporaryDirectory()
  const files = ownFilesOf(join(folder.path, 'data'))
  const text = (file: string) => readFile(file, 'utf8')
  const usual = { files, names: [], namesOfMachine: machineNames, newCa: false, host: 'edge-7' }
  return {
    ...folder,
    files,
    make: (options) => makeOwnCertificates({ ...usual, now: new Date(), ...options }),
    text,
    certificate: async (file) => new X509Certificate(await text(file)),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}

/** Everything in a folder, by name. */
async function contentOf(folder: string): Promise<Record<string, string>> {
  const names = await readdir(folder)
  const entries = names.map(async (name) => [name, await readFile(join(folder, name), 'utf8')])
  return Object.fromEntries(await Promise.all(entries))
}

describe('what is made', () => {
  test('is for this user alone', async () => {
    await using own = await place()
    await own.make()
    const modes = await Promise.all(
      [own.files.folder, ...Object.values(own.files).slice(1)].map(
        async (path) => (await stat(path)).mode & 0o777,
      ),
    )
    expect(modes).toEqual([0o700, 0o600, 0o600, 0o600, 0o600])
  })

  test('is again for the same names, of the same authority, with another key', async () => {
    await using own = await place()
    expect(await own.make({ names: ['edge.example', '10.0.0.5'] })).toBe(true)
    const before = await contentOf(own.files.folder)

    expect(await own.make()).toBe(false)

    const after = await contentOf(own.files.folder)
    expect(after['ca.crt']).toBe(before['ca.crt'])
    expect(after['ca.key']).toBe(before['ca.key'])
    expect(after['server.crt']).not.toBe(before['server.crt'])
    expect(after['server.key']).not.toBe(before['server.key'])
    expect(Object.keys(after).sort()).toEqual(['ca.crt', 'ca.key', 'server.crt', 'server.key'])
    expect(namesIn(await own.certificate(own.files.cert))).toEqual(['edge.example', '10.0.0.5'])

    await own.make({ names: ['other.example'] })
    expect(namesIn(await own.certificate(own.files.cert))).toEqual(['other.example'])
  })

  test('lasts no longer than its authority, and nothing comes from one that has ended', async () => {
    await using own = await place()
    await own.make({ now: day(-3600) })
    await own.make()
    const [cert, ca] = await Promise.all([own.files.cert, own.files.ca].map(own.certificate))
    expect(cert?.validToDate).toEqual(ca?.validToDate)

    const before = await contentOf(own.files.folder)
    await expect(own.make({ now: day(51) })).rejects.toThrow(`${own.files.ca} has ended`)
    expect(await contentOf(own.files.folder)).toEqual(before)
  })

  test('puts the authority before aside when another is asked for', async () => {
    await using own = await place()
    await own.make({ names: ['edge.example'] })
    const before = await contentOf(own.files.folder)

    expect(await own.make({ newCa: true })).toBe(true)

    const after = await contentOf(own.files.folder)
    expect(after['ca.crt.old']).toBe(before['ca.crt'])
    expect(after['ca.key.old']).toBe(before['ca.key'])
    const [cert, ca] = await Promise.all([own.files.cert, own.files.ca].map(own.certificate))
    expect(cert?.verify(ca?.publicKey as never)).toBe(true)
    expect(cert && namesIn(cert)).toEqual(['edge.example'])
    expect((await stat(`${own.files.caKey}.old`)).mode & 0o777).toBe(0o600)
  })

  test('heals a key that was left without its certificate', async () => {
    await using own = await place()
    await own.make()
    await rm(own.files.cert)
    await own.make()
    const certificate = await own.certificate(own.files.cert)
    const { createPrivateKey } = await import('node:crypto')
    expect(certificate.checkPrivateKey(createPrivateKey(await own.text(own.files.key)))).toBe(true)
  })
})

describe('nothing is overwritten', () => {
  const foreign = createAuthority('corp').issue({ names: ['edge.example'] })
  const other = createAuthority('other')

  test.each<[string, (own: Place) => Promise<unknown>, string]>([
    [
      'a certificate of somebody else',
      (own) => writeFile(own.files.cert, foreign.cert),
      'server.crt was not made by',
    ],
    [
      'what is no certificate',
      (own) => writeFile(own.files.cert, 'precious'),
      'server.crt holds no certificate',
    ],
    [
      'an authority that is no certificate',
      (own) => writeFile(own.files.ca, randomBytes(99)),
      'ca.crt holds no cert',
    ],
    [
      'an authority whose key is kept elsewhere',
      (own) => rm(own.files.caKey),
      'ca.key is not there: put it back',
    ],
    [
      'a key whose authority is elsewhere',
      async (own) => Promise.all([own.files.ca, own.files.cert].map((file) => rm(file))),
      'ca.crt is not there: put it back',
    ],
    [
      'a key of another authority',
      (own) => writeFile(own.files.caKey, foreign.key),
      'ca.key is not the P-256 key of',
    ],
    ['what is no key', (own) => writeFile(own.files.caKey, 'precious'), 'ca.key is not the P-256 key of'],
    [
      'a certificate that is no authority',
      async (own) => {
        await rm(own.files.cert)
        await writeFile(own.files.ca, foreign.cert)
        await writeFile(own.files.caKey, foreign.key)
      },
      'ca.key is not the P-256 key of',
    ],
    ['another authority', (own) => writeFile(own.files.ca, other.ca), 'server.crt was not made by'],
  ])('%s', async (_, disturb, problem) => {
    await using own = await place()
    await own.make()
    await disturb(own)
    const before = await contentOf(own.files.folder)
    const error = await own.make().catch((thrown: Error) => thrown)
    expect(String(error)).toContain(`${own.files.folder}/${problem}`)
    expect(String(error)).not.toContain('\n')
    expect(await contentOf(own.files.folder)).toEqual(before)
  })

  test('of somebody else, where nothing of ours is', async () => {
    await using own = await place()
    await mkdir(own.files.folder, { recursive: true })
    await writeFile(own.files.cert, foreign.cert)
    await expect(own.make()).rejects.toThrow('was not made by')
    await expect(own.make({ newCa: true })).rejects.toThrow('was not made by')
    expect(await contentOf(own.files.folder)).toEqual({ 'server.crt': foreign.cert })
  })
})

describeWith(['openssl'], 'openssl', () => {
  const openssl = async (...args: string[]) => {
    const { stdout, stderr } = await promisify(execFile)('openssl', args)
    return stdout + stderr
  }

  test('takes the certificate for each of its names, for a server, by the strict rules', async () => {
    await using own = await place()
    const names = ['edge.example', '*.sites.example', '10.0.0.5', '2001:db8::1', `${'a'.repeat(63)}.example`]
    await own.make({ names })
    const verify = (...more: string[]) =>
      openssl(
        'verify',
        '-x509_strict',
        '-purpose',
        'sslserver',
        '-CAfile',
        own.files.ca,
        ...more,
        own.files.cert,
      )

    for (const name of ['edge.example', 'a.sites.example', names.at(-1) ?? ''])
      expect(await verify('-verify_hostname', name)).toContain('OK')
    for (const address of ['10.0.0.5', '2001:db8::1'])
      expect(await verify('-verify_ip', address)).toContain('OK')
    await expect(verify('-verify_hostname', 'other.example')).rejects.toThrow('hostname mismatch')
    await expect(verify('-verify_ip', '10.0.0.6')).rejects.toThrow('address mismatch')
    const asClient = ['verify', '-purpose', 'sslclient', '-CAfile', own.files.ca, own.files.cert]
    await expect(openssl(...asClient)).rejects.toThrow(/unsuitable|unsupported certificate purpose/)

    const shown = await openssl('x509', '-in', own.files.cert, '-noout', '-ext', 'subjectAltName')
    expect(shown).toContain(
      'DNS:edge.example, DNS:*.sites.example, IP Address:10.0.0.5, IP Address:2001:DB8:',
    )
  })

  test('sees an authority for servers alone, for ten years, and a certificate for less than 398 days', async () => {
    await using own = await place()
    await own.make()
    const text = await openssl('x509', '-in', own.files.ca, '-noout', '-text')
    expect(text).toMatch(/Basic Constraints: critical\s+CA:TRUE, pathlen:0/)
    expect(text).toMatch(/Key Usage: critical\s+Certificate Sign, CRL Sign\n/)
    expect(text).toContain('NIST CURVE: P-256')
    const [cert, ca] = await Promise.all([own.files.cert, own.files.ca].map(own.certificate))
    const daysOf = (certificate: X509Certificate | undefined) =>
      certificate && (certificate.validToDate.getTime() - certificate.validFromDate.getTime()) / dayMs
    expect([daysOf(cert), daysOf(ca)]).toEqual([397, 3650])
    expect(cert?.validFromDate.getTime()).toBeLessThan(Date.now())
  })
})
