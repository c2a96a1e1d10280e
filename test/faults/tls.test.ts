import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { createAuthority, type KeyAndCertificate } from '../support/certificates.ts'
import { type Edge, mirrorPolicies, startEdge } from '../support/edge.ts'
import { type Fetched, fetchBlob } from '../support/fetch-blob.ts'
import { buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { startUpstream, type Upstream } from '../support/upstream.ts'
import { neverFresh, repository } from './support/site.ts'

const authority = createAuthority('the operator')
const stranger = createAuthority('somebody else')
const names = ['127.0.0.1']
const yesterday = new Date(Date.now() - 86_400_000)
const kept = buildImage({ layers: [100_000], seed: 'kept' })
const cold = buildImage({ layers: [100_000], seed: 'cold' })
const users = { robot: 'hunter2' }

/** The same registry on the same port, which wants a login. */
async function startGuarded(tls: KeyAndCertificate, port?: number): Promise<Upstream> {
  const upstream = await startUpstream({ tls, auth: { service: 'hub', users }, ...(port && { port }) })
  upstream.addImage(repository, 'kept', kept)
  upstream.addImage(repository, 'cold', cold)
  return upstream
}

/** An edge that knows the operator's authority and has `kept`; the upstream it came from is gone. */
async function startFilled(): Promise<{ edge: Edge; port: number }> {
  await using upstream = await startGuarded(authority.issue({ names }))
  const credential = { username: 'robot', password: { env: 'HUB_PASSWORD' } }
  const policies = mirrorPolicies(
    { url: upstream.url, ca: authority.ca },
    {
      registry: { credential, timeouts: { head: '1s', idle: '1s' } },
      project: { ...neverFresh, public: ['**'] },
    },
  )
  const edge = await startEdge({ policies, env: { HUB_PASSWORD: users.robot } })
  await pull(edge.url, repository, 'kept')
  return { edge, port: Number(new URL(upstream.url).port) }
}

const askTag = (edge: Edge, tag: string): Promise<Fetched> =>
  fetchBlob(`${edge.url}/v2/${repository}/manifests/${tag}`, { keep: true })

async function expectOnlyWhatIsHere(edge: Edge): Promise<void> {
  expect((await pull(edge.url, repository, 'kept')).digest).toBe(kept.manifest.digest)
  expect((await askTag(edge, 'kept')).headers.warning).toMatch(/^299 /)
  const { status, body } = await askTag(edge, 'cold')
  expect([status, JSON.parse(body.toString()).errors[0].code]).toEqual([503, 'UNAVAILABLE'])
}

async function expectRecovery(edge: Edge, port: number): Promise<void> {
  await using _well = await startGuarded(authority.issue({ names }), port)
  const digestOf = () => pull(edge.url, repository, 'cold').then(({ digest }) => digest)
  await expect.poll(() => digestOf().catch(String)).toBe(cold.manifest.digest)
}

describe('an upstream that comes back with a certificate', () => {
  test.each([
    ['that has expired', authority.issue({ names, notBefore: new Date(0), notAfter: yesterday })],
    ['for another host', authority.issue({ names: ['other.test'] })],
    ['of another authority', stranger.issue({ names })],
  ])('%s is told nothing, and is asked again when it has a good one', async (_, tls) => {
    const { edge, port } = await startFilled()
    await using _edge = edge
    {
      await using unfit = await startGuarded(tls, port)
      await expectOnlyWhatIsHere(edge)
      expect(unfit.requests).toHaveLength(0)
    }
    await expectRecovery(edge, port)
  })

  test('that is new and good is taken as the old one was', async () => {
    const { edge, port } = await startFilled()
    await using _edge = edge
    await expectRecovery(edge, port)
  })
})

test('an upstream that never ends the handshake holds up nobody, and is asked again', async () => {
  const { edge, port } = await startFilled()
  await using _edge = edge
  const sockets = new Set<Socket>()
  const silent = createServer((socket) => sockets.add(socket.on('error', () => {}).resume()))
  silent.listen(port, '127.0.0.1')
  await once(silent, 'listening')

  await expectOnlyWhatIsHere(edge)

  expect(sockets.size).toBeGreaterThan(0)
  for (const socket of sockets) socket.destroy()
  await new Promise((resolve) => silent.close(resolve))
  await expectRecovery(edge, port)
})
