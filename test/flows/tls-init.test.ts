import { createHash, X509Certificate } from 'node:crypto'
import { chown, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { getuid } from 'node:process'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeOwnCertificates } from '../../src/tls/own-certificates.ts'
import { ownFilesOf } from '../../src/tls/own-files.ts'
import { createAuthority } from '../support/certificates.ts'
import { mirrorPolicies } from '../support/edge.ts'
import { fetchBlob } from '../support/fetch-blob.ts'
import { buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { startUpstream, type Upstream } from '../support/upstream.ts'
import { bothDoors, doorOf, fingerprintAt, getCert, ownTls } from './support/own-tls.ts'

const image = buildImage({ layers: [1000], seed: 'tls' })
const owned = new AsyncDisposableStack()
let upstream: Upstream
let policies: Record<string, string>

beforeAll(async () => {
  upstream = owned.use(await startUpstream())
  upstream.addImage('library/app', '1', image)
  policies = mirrorPolicies(upstream)
})
afterAll(() => owned.disposeAsync())

describe('a node that makes its own certificates', () => {
  test('starts with an https door when it has them, and says before that how to', async () => {
    await using own = await ownTls(policies)
    await expect(own.start()).rejects.toThrow(
      `outport: https needs a certificate, and there is none in ${own.data}/tls: run outport tls init`,
    )
    expect(await own.run('tls', 'show')).toEqual({
      code: 1,
      stdout: '',
      stderr: `outport: there is no ${own.data}/tls/server.crt: run outport tls init\n`,
    })

    expect(await own.run('tls', 'init')).toMatchObject({ code: 0, stderr: '' })

    await using edge = await own.start()
    const secure = await doorOf(edge, 'https')
    const ca = await fetchBlob(edge.url + getCert, { keep: true })
    const { body } = await fetchBlob(`${secure}/v2/library/app/manifests/1`, {
      ca: ca.body.toString(),
      keep: true,
    })
    expect(body.equals(image.manifest.bytes)).toBe(true)
    await expect(fetchBlob(`${secure}/v2/`)).rejects.toThrow(/unable to|self[- ]signed/)
    expect((await pull(edge.url, 'library/app', '1')).digest).toBe(image.manifest.digest)
  })

  test('has another certificate before the one it has ends, for the same names, of the same authority', async () => {
    await using own = await ownTls(policies)
    const files = ownFilesOf(own.data)
    const host = { host: 'edge', names: ['edge.example', '127.0.0.1'], namesOfMachine: [] }
    const aYearAgo = new Date(Date.now() - 370 * 86_400_000)
    await makeOwnCertificates({ files, ...host, newCa: false, now: aYearAgo })
    const before = new X509Certificate(await readFile(files.cert))

    await using edge = await own.start()
    await edge.logged(({ msg }) => msg === 'the certificate was renewed')

    const now = new X509Certificate(await readFile(files.cert))
    const days = (now.validToDate.getTime() - Date.now()) / 86_400_000
    expect(days).toBeGreaterThan(390)
    expect(now.subjectAltName).toBe(before.subjectAltName)
    expect(await fingerprintAt(await doorOf(edge, 'https'), await own.ca())).toBe(now.fingerprint256)
  })

  test('says so where its authority ends as well', async () => {
    await using own = await ownTls(policies)
    const files = ownFilesOf(own.data)
    const host = { host: 'edge', names: ['127.0.0.1'], namesOfMachine: [] }
    const longAgo = new Date(Date.now() - 3640 * 86_400_000)
    await makeOwnCertificates({ files, ...host, newCa: false, now: longAgo })
    await makeOwnCertificates({ files, ...host, newCa: false, now: new Date() })
    await using edge = await own.start()
    const line = await edge.logged(({ msg }) => msg === 'the certificate ends soon, and could not be renewed')
    expect(line.err).toMatchObject({
      message: `${files.ca} ends as well: make another authority with outport tls init --new-ca`,
    })
  })

  test('offers its authority as Harbor does, to everybody and at every door, with the sum that was printed', async () => {
    await using own = await ownTls(policies)
    const said = await own.run('tls', 'init')
    await using edge = await own.start()
    const [, sum] = /([0-9a-f]{64}) {2}outport-ca\.crt/.exec(said.stdout) ?? []

    for (const door of [edge.url, await doorOf(edge, 'https')]) {
      const { status, headers, body } = await fetchBlob(door + getCert, { keep: true, ca: await own.ca() })
      expect([status, headers['content-type'], headers['content-disposition']]).toEqual([
        200,
        'application/octet-stream',
        'attachment; filename=ca.crt',
      ])
      expect(createHash('sha256').update(body).digest('hex')).toBe(sum)
      expect(new X509Certificate(body).ca).toBe(true)
    }
    const head = await fetchBlob(edge.url + getCert, { method: 'HEAD' })
    expect([head.status, head.bytes]).toEqual([200, 0])
    expect((await fetchBlob(edge.url + getCert, { method: 'POST' })).status).toBe(405)
  })

  test('serves a renewed one as soon as the command is through, and clients need nothing new', async () => {
    await using own = await ownTls(policies)
    await own.run('tls', 'init', '127.0.0.1')
    await using edge = await own.start()
    const secure = await doorOf(edge, 'https')
    const ca = await own.ca()
    const before = await fingerprintAt(secure, ca)

    const renewed = await own.run('tls', 'init')
    expect(renewed).toMatchObject({ code: 0, stderr: '' })
    expect(renewed.stdout).toContain('\nthe node serves it\n')
    expect(await fingerprintAt(secure, ca)).not.toBe(before)

    const another = await own.run('tls', 'init', '--new-ca')
    expect(another.code).toBe(0)
    expect(another.stderr).toContain('every client must now be given')
    await expect(fingerprintAt(secure, ca)).rejects.toThrow()
    const offered = await fetchBlob(edge.url + getCert, { keep: true })
    expect(offered.body.toString()).toBe(await own.ca())
    expect(await fingerprintAt(secure, await own.ca())).toBeTruthy()
  })

  test('without an https door offers the authority from when there is one', async () => {
    await using own = await ownTls(policies)
    await using edge = await own.start({})
    const before = await fetchBlob(edge.url + getCert, { keep: true })
    expect([before.status, JSON.parse(before.body.toString())]).toEqual([
      404,
      { errors: [{ code: 'NOT_FOUND', message: 'this site offers no certificate of an authority' }] },
    ])

    expect((await own.run('tls', 'init')).stdout).toContain('\nthe node has no https door\n')
    const { body } = await fetchBlob(edge.url + getCert, { keep: true })
    expect(body.toString()).toBe(await own.ca())
  })

  test('says when it cannot take the new one, and goes on with the old one', async () => {
    await using own = await ownTls(policies)
    const named = createAuthority().issue({ names: ['127.0.0.1'] })
    const files = { OUTPORT_TLS_CERT: join(own.path, 'a.pem'), OUTPORT_TLS_KEY: join(own.path, 'a.key') }
    await writeFile(files.OUTPORT_TLS_CERT, named.cert)
    await writeFile(files.OUTPORT_TLS_KEY, named.key)
    await using edge = await own.start({ ...bothDoors, ...files })
    await writeFile(files.OUTPORT_TLS_KEY, 'no key')

    const { code, stderr } = await own.run('tls', 'init')

    expect(code).toBe(1)
    expect(stderr).toMatch(
      /^outport: the node goes on with the old ones: cannot use the certificate \S+a\.pem .*\n$/,
    )
    expect((await fetchBlob(`${edge.url}/livez`)).status).toBe(200)
  })
})

describe('tls show', () => {
  test('tells names, issuer and end of every certificate, for people and for scripts', async () => {
    await using own = await ownTls(policies)
    await own.run('tls', 'init', 'edge.example', '10.0.0.5')
    const [ca, cert] = await Promise.all(
      ['ca.crt', 'server.crt'].map(
        async (name) => new X509Certificate(await readFile(join(own.data, 'tls', name))),
      ),
    )
    const told = await own.run('tls', 'show', '--json')
    expect(JSON.parse(told.stdout)).toEqual({
      certificates: [
        expect.objectContaining({
          file: join(own.data, 'tls/server.crt'),
          names: ['edge.example', '10.0.0.5'],
          issuer: ca?.subject,
          notAfter: cert?.validToDate.toISOString(),
        }),
      ],
      authority: expect.objectContaining({
        file: join(own.data, 'tls/ca.crt'),
        notAfter: ca?.validToDate.toISOString(),
        fingerprint: ca?.fingerprint256,
      }),
    })
    const shown = await own.run('tls', 'show')
    expect(shown).toMatchObject({ code: 0, stderr: '' })
    expect(shown.stdout).toMatch(
      /^certificate \S+server\.crt\n {2}for +edge\.example 10\.0\.0\.5\n {2}of +CN=Outport CA .*\n {2}until +\d{4}-\d\d-\d\d \(39\d days\)\n/,
    )
    expect(shown.stdout).toContain(`authority ${own.data}/tls/ca.crt\n`)
  })
})

describe('an authority that the operator names', () => {
  const authority = createAuthority('corp')
  const { cert, key } = authority.issue({ names: ['127.0.0.1'] })

  test('is offered, and nothing else that stands in its file', async () => {
    await using own = await ownTls(policies)
    const at = (name: string) => join(own.path, name)
    await writeFile(at('server.pem'), cert)
    await writeFile(at('server.key'), key)
    const other = createAuthority('other')
    await writeFile(at('all.pem'), `for all\n${key}${authority.ca}${other.ca}`)
    const files = { OUTPORT_TLS_CERT: at('server.pem'), OUTPORT_TLS_KEY: at('server.key') }
    await using edge = await own.start({ ...bothDoors, ...files, OUTPORT_TLS_CA: at('all.pem') })

    const { body } = await fetchBlob(edge.url + getCert, { keep: true })

    expect(body.toString()).toBe(authority.ca + other.ca)
    expect(await fingerprintAt(await doorOf(edge, 'https'), body.toString())).toBeTruthy()
  })

  test('is not the one in the data where the operator names a certificate', async () => {
    await using own = await ownTls(policies)
    await own.run('tls', 'init')
    const files = { OUTPORT_TLS_CERT: join(own.path, 'a.pem'), OUTPORT_TLS_KEY: join(own.path, 'a.key') }
    await writeFile(files.OUTPORT_TLS_CERT, cert)
    await writeFile(files.OUTPORT_TLS_KEY, key)
    await using edge = await own.start({ ...bothDoors, ...files })
    expect((await fetchBlob(edge.url + getCert)).status).toBe(404)
    const { stdout } = await own.run('tls', 'init')
    expect(stdout).toContain(`\nthe node serves ${files.OUTPORT_TLS_CERT} instead\n`)
  })

  test.each([
    ['is not there', undefined, /ENOENT: .*none\.pem/],
    ['holds only a key', key, /none\.pem holds no certificate in PEM/],
  ])('keeps a node from starting when its file %s', async (_, text, problem) => {
    await using own = await ownTls(policies)
    const file = join(own.path, 'none.pem')
    if (text !== undefined) await writeFile(file, text)
    await expect(own.start({ OUTPORT_TLS_CA: file })).rejects.toThrow(problem)
  })
})

describe('tls init refuses in one line', () => {
  test('names that are none, and changes nothing', async () => {
    await using own = await ownTls(policies)
    const { code, stdout, stderr } = await own.run('tls', 'init', 'edge.example', 'https://edge.example')
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(/^outport: expected a host name .*, found "https:\/\/edge\.example"\n$/)
    await expect(own.ca()).rejects.toThrow('ENOENT')
  })

  test('what stands in its way', async () => {
    await using own = await ownTls(policies)
    await own.run('tls', 'init')
    await copyFile(join(own.data, 'tls/server.key'), join(own.data, 'tls/ca.key'))
    const { code, stderr } = await own.run('tls', 'init')
    expect(code).toBe(1)
    expect(stderr).toMatch(/^outport: \S+ca\.key is not the P-256 key of \S+ca\.crt: .*--new-ca.*\n$/)
  })

  test.skipIf(getuid?.() !== 0)('data of another user, who could not read what root makes', async () => {
    await using own = await ownTls(policies)
    await mkdir(own.data)
    await chown(own.data, 65534, 65534)
    const { code, stderr } = await own.run('tls', 'init')
    expect(code).toBe(1)
    expect(stderr).toBe(
      `outport: ${own.data} belongs to user 65534, whom the node runs as: run this as that user\n`,
    )
    await expect(own.ca()).rejects.toThrow('ENOENT')
  })
})
