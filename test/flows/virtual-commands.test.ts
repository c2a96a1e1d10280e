import { join } from 'node:path'
import { expect, test } from 'vitest'
import { buildImage, buildReferrer } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { addToRegistryData } from '../transfer/support/registry-data.ts'
import { linesOf } from './support/commands.ts'
import { startVirtual, type VirtualSite } from './support/virtual.ts'

const theirs = buildImage({ layers: [20_000], seed: 'theirs' })
const ours = buildImage({ layers: [40_000], seed: 'ours' })
const archived = buildImage({ layers: [9000], seed: 'archived' })
const signatureOf = (seed: string) =>
  buildReferrer({
    subject: theirs.manifest,
    artifactType: 'application/signature',
    bytes: Buffer.from(seed),
  })
const [theirSignature, ourSignature] = [signatureOf('theirs'), signatureOf('ours')]
const slow = 120_000

/** `1` and `latest` are upstream's and here, and `mine` is our own. */
async function start(options?: Parameters<typeof startVirtual>[0]): Promise<VirtualSite> {
  const site = await startVirtual(options)
  for (const tag of ['1', 'latest']) site.upstream.addImage('library/app', tag, theirs)
  for (const tag of ['1', 'latest']) await pull(site.edge.url, 'lib/app', tag)
  await site.admin.pushImage('lib/app', ours, 'mine')
  return site
}

const explained = async (site: VirtualSite, image: string) =>
  JSON.parse((await site.run('explain', '--json', image)).stdout)

test(
  'explain says whose a tag is, and ls and evict keep to it',
  async () => {
    await using site = await start()
    expect(await explained(site, 'lib/app:mine')).toMatchObject({
      project: { kind: 'virtual' },
      upstream: { registry: 'hub', repository: 'library/app' },
      cache: { tagOf: 'this site', isWhole: true },
      eviction: { kind: 'kept', origin: 'pushed' },
    })
    expect((await explained(site, 'lib/app:mine')).cache).not.toHaveProperty('checkedAt')
    expect(await explained(site, 'lib/app:1')).toMatchObject({
      cache: { tagOf: 'upstream', isWhole: true, checkedAt: expect.any(String) },
      eviction: { kind: expect.not.stringMatching('kept') },
    })
    const lines = async (image: string) => linesOf((await site.run('explain', image)).stdout)
    expect(await lines('lib/app:mine')).toContain('tag       pushed here: upstream is not asked for it')
    expect(await lines('lib/app:1')).toContain('tag       as upstream has it')

    const names = async () =>
      linesOf((await site.run('ls', '--json', 'lib/**')).stdout).map((line) => JSON.parse(line).tag)
    expect(await names()).toEqual(['1', 'latest', 'mine'])
    const said = await site.run('evict', 'lib/app')
    expect(said.stdout).toContain('it was pushed here')
    expect(await names()).toEqual(['mine'])
    await site.upstream.stop()
    expect((await pull(site.edge.url, 'lib/app', 'mine')).digest).toBe(ours.manifest.digest)
  },
  slow,
)

test(
  'what is imported is own, over what upstream calls so, as far as shadow allows',
  async () => {
    await using site = await start({ project: { shadow: ['1', 'old-*'] } })
    await using folder = await temporaryDirectory()
    for (const tag of ['1', 'latest', 'old-1']) await addToRegistryData(folder.path, 'app', archived, tag)
    const said = await site.run('import', folder.path, '--into', 'lib')
    expect(said.code).toBe(1)
    expect(said.stdout + said.stderr).toContain(
      'lib/app:latest: does not come in: shadow of project lib leaves it to upstream',
    )
    await site.upstream.stop()
    for (const tag of ['1', 'old-1']) {
      expect((await pull(site.edge.url, 'lib/app', tag)).digest).toBe(archived.manifest.digest)
      expect((await explained(site, `lib/app:${tag}`)).eviction).toEqual({ kind: 'kept', origin: 'pushed' })
    }
    expect(await site.digestOf('latest')).toBe(theirs.manifest.digest)
    // What is own by now is as in the way as in a hosted project.
    await using other = await temporaryDirectory()
    await addToRegistryData(other.path, 'app', ours, '1')
    expect((await site.run('import', other.path, '--into', 'lib')).stderr).toContain('it stays (--replace)')
    expect(await site.digestOf('1')).toBe(archived.manifest.digest)
    await site.run('import', other.path, '--into', 'lib', '--replace')
    expect(await site.digestOf('1')).toBe(ours.manifest.digest)
  },
  slow,
)

test(
  'what is exported goes with what refers to it here and at upstream',
  async () => {
    await using site = await start()
    await using folder = await temporaryDirectory()
    site.upstream.addImage('library/app', undefined, theirSignature)
    await site.admin.pushImage('lib/app', ourSignature)
    const layout = join(folder.path, 'layout')
    const args = ['export', '--to', layout, '--referrers', 'lib/app:1', 'lib/app:mine']
    expect(await site.run(...args)).toMatchObject({ code: 0 })
    await site.admin.send('DELETE', `/v2/lib/app/manifests/${ours.manifest.digest}`)
    expect(await site.run('import', layout, '--into', 'team')).toMatchObject({ code: 0 })
    for (const [tag, image] of [
      ['1', theirs],
      ['mine', ours],
    ] as const) {
      const { headers } = await site.admin.send('GET', `/v2/team/lib/app/manifests/${tag}`)
      expect(headers.get('docker-content-digest')).toBe(image.manifest.digest)
    }
    const { body } = await site.admin.send('GET', `/v2/team/lib/app/referrers/${theirs.manifest.digest}`)
    const listed = JSON.parse(body.toString()).manifests.map(({ digest }: { digest: string }) => digest)
    expect(listed).toEqual([theirSignature, ourSignature].map(({ manifest }) => manifest.digest).sort())
  },
  slow,
)
