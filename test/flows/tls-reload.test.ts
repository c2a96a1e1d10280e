import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { Agent } from 'node:https'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Authority, createAuthority } from '../support/certificates.ts'
import { type Edge, mirrorPolicies } from '../support/edge.ts'
import { fetchBlob, responseTo } from '../support/fetch-blob.ts'
import { buildImage } from '../support/images.ts'
import { startUpstream, type Upstream } from '../support/upstream.ts'
import { bothDoors, doorOf, fingerprintAt, type OwnTls, ownTls } from './support/own-tls.ts'

/** More than the buffers between two processes hold. */
const image = buildImage({ layers: [32_000_000], seed: 'reload', compression: 'none' })
const path = `/v2/library/app/blobs/${image.layers[0]?.digest}`
const old = createAuthority('old')
const fresh = createAuthority('fresh')
/** The first is for clients that name none. */
const names = ['127.0.0.1', 'harbor.corp']

const owned = new AsyncDisposableStack()
let upstream: Upstream
beforeAll(async () => {
  upstream = owned.use(await startUpstream())
  upstream.addImage('library/app', '1', image)
})
afterAll(() => owned.disposeAsync())

const fileOf = (own: OwnTls, name: string, kind: 'pem' | 'key') => join(own.path, `${name}.${kind}`)

async function issue(own: OwnTls, authority: Authority): Promise<void> {
  for (const name of names) {
    const { cert, key } = authority.issue({ names: [name] })
    await writeFile(fileOf(own, name, 'pem'), cert)
    await writeFile(fileOf(own, name, 'key'), key)
  }
}

/** A node with a certificate of the old authority for each name. */
async function start(own: OwnTls): Promise<{ edge: Edge; secure: string }> {
  await issue(own, old)
  const edge = await own.start({
    ...bothDoors,
    OUTPORT_TLS_CERT: names.map((name) => fileOf(own, name, 'pem')).join(),
    OUTPORT_TLS_KEY: names.map((name) => fileOf(own, name, 'key')).join(),
  })
  return { edge, secure: await doorOf(edge, 'https') }
}

async function expectServed(secure: string, right: Authority, wrong: Authority): Promise<void> {
  for (const servername of [undefined, 'harbor.corp']) {
    expect(await fingerprintAt(secure, right.ca, servername)).toBeTruthy()
    await expect(fingerprintAt(secure, wrong.ca, servername)).rejects.toThrow(/self[- ]signed|unable to/)
  }
}

function issuerOf(socket: Socket): string | undefined {
  return socket instanceof TLSSocket ? String(socket.getPeerCertificate().issuer.CN) : undefined
}

test('new certificates are served to new connections, and the old ones go on to their end', async () => {
  await using own = await ownTls(mirrorPolicies(upstream))
  const { edge, secure } = await start(own)
  await using _edge = edge
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const download = await responseTo(secure + path, { ca: old.ca, agent })
  const hash = createHash('sha256')
  hash.update(((await once(download, 'data')) as [Buffer])[0])
  download.pause()
  const connection = download.socket

  await issue(own, fresh)
  process.kill(edge.pid, 'SIGHUP')
  await edge.logged(({ msg }) => msg === 'certificates loaded')

  await expectServed(secure, fresh, old)
  expect(connection.bytesRead).toBeLessThan(image.layers[0]?.bytes.length ?? 0)
  for await (const chunk of download as AsyncIterable<Buffer>) hash.update(chunk)
  expect(download.complete).toBe(true)
  expect(`sha256:${hash.digest('hex')}`).toBe(image.layers[0]?.digest)
  expect(issuerOf(connection)).toBe('old')
  const another = await responseTo(`${secure}/livez`, { ca: old.ca, agent })
  expect([another.statusCode, another.socket === connection]).toEqual([200, true])
  another.resume()
  agent.destroy()
})

describe('new files that are wrong leave the old certificates where they are:', () => {
  test.each<[string, string, (own: OwnTls) => Promise<void>]>([
    [
      'a key of another',
      '127.0.0.1.pem',
      (own) => writeFile(fileOf(own, '127.0.0.1', 'key'), old.issue({ names }).key),
    ],
    [
      'half a certificate',
      'harbor.corp.pem',
      (own) => writeFile(fileOf(own, 'harbor.corp', 'pem'), old.ca.slice(0, 300)),
    ],
    ['an empty file', 'harbor.corp.key', (own) => writeFile(fileOf(own, 'harbor.corp', 'key'), '')],
    ['no file', '127.0.0.1.key', (own) => rm(fileOf(own, '127.0.0.1', 'key'))],
  ])('%s', async (_, file, spoil) => {
    await using own = await ownTls(mirrorPolicies(upstream))
    const { edge, secure } = await start(own)
    await using _edge = edge

    // The other pair is new and good: it is all or none.
    await issue(own, fresh)
    await spoil(own)
    process.kill(edge.pid, 'SIGHUP')
    await edge.logged(({ msg }) => msg === 'the old certificates go on')

    await expectServed(secure, old, fresh)
    const told = edge.logs.filter(({ level }) => level === 'error')
    expect(told).toHaveLength(1)
    expect(told[0]?.err).toMatchObject({ message: expect.stringContaining(join(own.path, file)) })
    expect((await fetchBlob(secure + path, { ca: old.ca })).sha256).toBe(image.layers[0]?.digest)

    await issue(own, fresh)
    process.kill(edge.pid, 'SIGHUP')
    await edge.logged(({ msg }) => msg === 'certificates loaded')
    await expectServed(secure, fresh, old)
  })
})

test('files that are replaced as a volume of Kubernetes does are served without anybody saying so', async () => {
  await using own = await ownTls(mirrorPolicies(upstream))
  const mount = (name: string) => join(own.path, name)
  async function publish(version: string, authority: Authority): Promise<void> {
    const { cert, key } = authority.issue({ names })
    await mkdir(mount(version))
    await writeFile(join(mount(version), 'tls.crt'), cert)
    await writeFile(join(mount(version), 'tls.key'), key)
    await symlink(version, mount('..new'))
    await rename(mount('..new'), mount('..data'))
  }
  await publish('..1', old)
  for (const name of ['tls.crt', 'tls.key']) await symlink(`..data/${name}`, mount(name))
  await using edge = await own.start({
    ...bothDoors,
    OUTPORT_TLS_CERT: mount('tls.crt'),
    OUTPORT_TLS_KEY: mount('tls.key'),
  })
  const secure = await doorOf(edge, 'https')
  await expectServed(secure, old, fresh)

  await publish('..2', fresh)

  await edge.logged(({ msg }) => msg === 'certificates loaded')
  await expectServed(secure, fresh, old)
  expect(edge.logs.filter(({ level }) => level === 'error')).toEqual([])
})
