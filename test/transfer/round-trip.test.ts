import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { run } from '../clients/support/command.ts'
import { pushImage, pushIndex } from '../clients/support/push.ts'
import { type RegistryKind, startRegistry } from '../clients/support/registry.ts'
import { pathOf } from '../faults/support/stored.ts'
import { buildImage, buildIndex, buildReferrer } from '../support/images.ts'
import { describeWith, toolPath } from '../support/tools.ts'
import { hostedSite } from './support/site.ts'

const amd64 = buildImage({ layers: [300_000, 20_000], seed: 'transfer' })
const arm64 = buildImage({ layers: [300_000], seed: 'transfer', platform: 'linux/arm64' })
const index = buildIndex([{ image: amd64 }, { image: arm64 }])
const old = buildImage({ layers: [50_000], seed: 'old', format: 'docker' })
const signature = buildReferrer({
  subject: index.manifest,
  artifactType: 'application/vnd.example.signature',
  bytes: Buffer.from('signed'),
})
const untagged = buildImage({ layers: [10_000], seed: 'untagged' })

async function fill(url: URL): Promise<void> {
  await pushIndex(url, 'app', index, '1.0')
  await pushImage(url, 'app', signature)
  await pushImage(url, 'app', untagged)
  await pushImage(url, 'deep/er/tool', old, 'latest')
  // Shares its layers with the other repository.
  await pushImage(url, 'deep/er/tool', amd64, 'amd64')
}

const digestOf = (manifest: { digest: string }) => manifest.digest

describeWith(
  ['distribution v3', 'docker-registry', 'skopeo', 'crane', 'podman'],
  'what a registry holds',
  () => {
    const crane = toolPath('crane')
    const skopeo = toolPath('skopeo')

    test.each<RegistryKind>([
      'distribution v3',
      'docker-registry',
    ])('of %s is served as it was', async (kind) => {
      await using registry = await startRegistry(kind)
      await fill(registry.url)
      await using site = await hostedSite()
      const planned = await site.run('import', registry.data, '--into', 'team', '--dry-run')
      expect(planned).toMatchObject({ code: 0, stderr: '' })
      expect(planned.stdout).toMatch(/^2 repositories, 3 tags, .* would come, .* 0 problems\n$/)

      const told = await site.run('import', registry.data, '--into', 'team')
      expect(told).toMatchObject({ code: 0, stderr: '' })
      expect(told.stdout).toMatch(
        /^2 repositories, 3 tags, 7 manifests; \d+ blobs linked and 0 copied .* 0 problems\n$/,
      )
      const [layer] = amd64.layers
      expect((await stat(pathOf(site.data, layer?.digest ?? ''))).nlink).toBe(2)
      const again = await site.run('import', join(registry.data, 'docker'), '--into', 'team')
      expect(again.stdout).toMatch(/; 0 blobs linked and 0 copied \(0 B\), .* 0 problems\n$/)
      expect((await site.run('fsck')).stdout).toMatch(/ 0 rotten, 0 absent, 0 unknown/)

      const edge = await site.start()
      const images: [string, { digest: string }][] = [
        ['team/app:1.0', index.manifest],
        [`team/app@${untagged.manifest.digest}`, untagged.manifest],
        ['team/deep/er/tool:latest', old.manifest],
        ['team/deep/er/tool:amd64', amd64.manifest],
      ]
      for (const [name, manifest] of images) {
        expect((await run(crane, ['digest', '--insecure', `${edge.host}/${name}`])).trim()).toBe(
          digestOf(manifest),
        )
        await run(crane, ['validate', '--insecure', '--remote', `${edge.host}/${name}`])
      }
      const pulled = join(site.scratch, 'pulled')
      await run(skopeo, [
        'copy',
        '--all',
        '--src-tls-verify=false',
        `docker://${edge.host}/team/app:1.0`,
        `oci:${pulled}:1`,
      ])
      const store = ['--root', join(site.scratch, 'pod'), '--runroot', join(site.scratch, 'podrun')]
      const podman = [...store, '--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs']
      const name = `${edge.host}/team/app:1.0`
      await run(toolPath('podman'), [...podman, 'pull', '--tls-verify=false', name])
      const held = await run(toolPath('podman'), [
        ...podman,
        'image',
        'inspect',
        '--format',
        '{{.RepoDigests}}',
        name,
      ])
      expect(held).toContain(index.manifest.digest)
      const referrers = await fetch(`${edge.url}/v2/team/app/referrers/${index.manifest.digest}`)
      expect(await referrers.json()).toMatchObject({
        manifests: [{ digest: signature.manifest.digest, artifactType: 'application/vnd.example.signature' }],
      })
      expect(await (await fetch(`${edge.url}/v2/team/deep/er/tool/tags/list`)).json()).toMatchObject({
        tags: ['amd64', 'latest'],
      })
    }, 120_000)

    test('goes out as a layout that others read, and comes in elsewhere', async () => {
      await using registry = await startRegistry('distribution v3')
      await fill(registry.url)
      await using site = await hostedSite()
      // Through its socket.
      await site.start()
      expect(await site.run('import', registry.data, '--into', 'team')).toMatchObject({ code: 0, stderr: '' })

      const layout = join(site.scratch, 'layout')
      const told = await site.run('export', 'team/app:1.0', 'team/deep/**:*', '--referrers', '--to', layout)
      expect(told).toMatchObject({ code: 0, stderr: '' })
      expect(told.stdout).toContain(`team/app:1.0  ${index.manifest.digest}\n`)
      const inspected = await run(skopeo, ['inspect', '--raw', `oci:${layout}:1.0`])
      expect(inspected).toBe(index.manifest.bytes.toString())
      const copied = join(site.scratch, 'copied')
      await run(skopeo, ['copy', '--all', '--preserve-digests', `oci:${layout}:1.0`, `dir:${copied}`])
      expect(await readFile(join(copied, 'manifest.json'))).toEqual(index.manifest.bytes)
      const again = await site.run('export', 'team/app:1.0', '--referrers', '--to', layout)
      expect(again.stdout).toMatch(/\n0 B written, .* were there\n$/)

      const tar = join(site.scratch, 'images.tar')
      expect(await site.run('export', 'team/app:1.0', '--referrers', '--to', tar)).toMatchObject({
        code: 0,
        stderr: '',
      })
      expect(await run(skopeo, ['inspect', '--raw', `oci-archive:${tar}:1.0`])).toBe(inspected)

      for (const source of [layout, tar]) {
        await using other = await hostedSite()
        expect(await other.run('import', source)).toMatchObject({ code: 0, stderr: '' })
        const elsewhere = await other.start()
        await run(crane, ['validate', '--insecure', '--remote', `${elsewhere.host}/team/app:1.0`])
        expect((await run(crane, ['digest', '--insecure', `${elsewhere.host}/team/app:1.0`])).trim()).toBe(
          index.manifest.digest,
        )
        const referrers = await fetch(`${elsewhere.url}/v2/team/app/referrers/${index.manifest.digest}`)
        expect(await referrers.json()).toMatchObject({ manifests: [{ digest: signature.manifest.digest }] })
        expect((await other.run('fsck')).stdout).toMatch(/ 0 rotten, 0 absent, 0 unknown/)
      }
    }, 120_000)
  },
)
