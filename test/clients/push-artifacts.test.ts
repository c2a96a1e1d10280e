import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createPusher, type Pusher, password } from '../support/hosted.ts'
import { buildImage, buildIndex } from '../support/images.ts'
import { describeWith, toolPath } from '../support/tools.ts'
import type { Machine } from './support/machine.ts'
import { type PushSite, startPushSite } from './support/push-site.ts'

const signatureType = 'application/vnd.dev.cosign.artifact.sig.v1+json'

describeWith(['helm', 'namespaces'], 'helm', () => {
  test.each([
    ['http', false],
    ['https', true],
  ])(
    'pushes a chart over %s, shows it and pulls it back byte for byte',
    { timeout: 120_000 },
    async (_, isSecure) => {
      await using site = await startPushSite({ isSecure })
      await using machine = await site.startMachine()
      const at = (file: string) => join(machine.directory, file)
      const helm = (...parameters: string[]) => machine.run(toolPath('helm'), parameters)
      const plain = isSecure ? [] : ['--plain-http']
      const login = ['registry', 'login', site.host, '--username', 'admin', '--password-stdin', ...plain]
      await machine.run(toolPath('helm'), login, { input: password })
      await helm('create', at('boat'))
      await helm('package', at('boat'), '--version', '1.2.3+build', '--destination', machine.directory)

      const folder = `oci://${site.host}/team/charts`
      await helm('push', at('boat-1.2.3+build.tgz'), folder, ...plain)

      const chart = `${folder}/boat`
      const version = ['--version', '1.2.3+build', ...plain]
      expect(await helm('show', 'chart', chart, ...version)).toContain('name: boat')
      expect(await helm('show', 'chart', chart, ...plain)).toContain('version: 1.2.3+build')
      await machine.run('mkdir', [at('pulled')])
      await helm('pull', chart, ...version, '--destination', at('pulled'))
      expect(await readFile(at('pulled/boat-1.2.3+build.tgz'))).toEqual(
        await readFile(at('boat-1.2.3+build.tgz')),
      )
    },
  )
})

// Over plain http it works by halves: parts of it ask for TLS whatever they are told.
describeWith(['cosign', 'namespaces'], 'cosign, over TLS,', () => {
  let site: PushSite
  let pusher: Pusher

  beforeAll(async () => {
    site = await startPushSite({ isSecure: true })
    pusher = createPusher(site.edge)
  })
  afterAll(() => site[Symbol.asyncDispose]())

  const images = ['tags', 'referrers'].map((seed) => buildImage({ layers: [1000], seed }))
  const index = buildIndex(images.map((image) => ({ image })))

  async function cosignOn(machine: Machine) {
    const env = { COSIGN_PASSWORD: 'of the key', COSIGN_EXPERIMENTAL: '1' }
    const at = (file: string) => join(machine.directory, file)
    const cosign = (...parameters: string[]) => machine.attempt(toolPath('cosign'), parameters, { env })
    const done = async (...parameters: string[]) => {
      const { code, stdout, stderr } = await cosign(...parameters)
      expect(code, stderr).toBe(0)
      return stdout
    }
    await done('login', site.host, '--username', 'admin', '--password', password)
    for (const key of ['own', 'other']) await done('generate-key-pair', '--output-key-prefix', at(key))
    return {
      sign: (...parameters: string[]) =>
        done('sign', '--key', at('own.key'), '--tlog-upload=false', '--yes', ...parameters),
      verify: (key: string, ...parameters: string[]) =>
        cosign('verify', '--key', at(`${key}.pub`), '--insecure-ignore-tlog', ...parameters),
      tree: (...parameters: string[]) => done('tree', ...parameters),
    }
  }

  test('signs under a tag of the digest, and finds it there', { timeout: 120_000 }, async () => {
    await using machine = await site.startMachine()
    await pusher.pushIndex('team/tagged', index, '1')
    const { digest } = index.manifest
    const image = `${site.host}/team/tagged@${digest}`
    const { sign, verify, tree } = await cosignOn(machine)
    expect((await verify('own', image)).stderr).toContain('no signatures found')

    await sign('--recursive', image)

    expect((await verify('own', `${site.host}/team/tagged:1`)).code).toBe(0)
    expect((await verify('other', image)).stderr).toContain('no matching signatures')
    for (const each of images)
      expect((await verify('own', `${site.host}/team/tagged@${each.manifest.digest}`)).code).toBe(0)
    const listed = JSON.parse((await pusher.send('GET', '/v2/team/tagged/tags/list')).body.toString())
    expect(listed.tags).toContain(`${digest.replace(':', '-')}.sig`)
    expect(await tree(image)).toContain('Signatures')
  })

  test('signs as a referrer, and finds it there', { timeout: 120_000 }, async () => {
    await using machine = await site.startMachine()
    const [image] = images
    if (!image) throw new Error('no image')
    await pusher.pushImage('team/referred', image, '1')
    const name = `${site.host}/team/referred@${image.manifest.digest}`
    const { sign, verify } = await cosignOn(machine)

    await sign('--registry-referrers-mode', 'oci-1-1', name)

    expect((await verify('own', '--experimental-oci11', name)).code).toBe(0)
    expect((await verify('other', '--experimental-oci11', name)).code).not.toBe(0)
    const said = await pusher.send('GET', `/v2/team/referred/referrers/${image.manifest.digest}`)
    const { manifests } = JSON.parse(said.body.toString())
    expect(manifests.map(({ artifactType }: { artifactType: string }) => artifactType)).toEqual([
      signatureType,
    ])
    expect((await pusher.send('GET', '/v2/team/referred/tags/list')).body.toString()).toContain('["1"]')
  })
})
