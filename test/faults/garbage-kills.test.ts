import { describe, expect, test } from 'vitest'
import { outport } from '../support/command.ts'
import type { Edge } from '../support/edge.ts'
import { createPusher, type Pusher, startHosted } from '../support/hosted.ts'
import { blobsOf, buildImage } from '../support/images.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { storedDigests } from './support/stored.ts'

const name = 'team/app'
const [kept, gone, loose] = ['kept', 'gone', 'loose'].map((seed) =>
  buildImage({ layers: [50_000], seed, compression: 'none' }),
) as [ReturnType<typeof buildImage>, ReturnType<typeof buildImage>, ReturnType<typeof buildImage>]
const more = [{ kind: 'gc', every: false, grace: '0s' }]
const digestsOf = (image: typeof kept) => [image.manifest, ...blobsOf(image)].map(({ digest }) => digest)

const run = ({ data, policies }: Edge, ...args: string[]) =>
  outport(args, { OUTPORT_DATA: data, OUTPORT_POLICIES: policies, OUTPORT_MIRROR_LISTEN: 'off' })

async function fill(client: Pusher): Promise<void> {
  await client.pushImage(name, kept, 'latest')
  await client.pushImage(name, gone, 'gone')
  await client.send('DELETE', `/v2/${name}/manifests/${gone.manifest.digest}`)
  for (const blob of blobsOf(loose)) await client.pushBlob(name, blob)
}

describe.each([
  ['before anything is unlinked', 'gc-unlinking', 8],
  ['when links are gone and no file', 'gc-unlinked', 8],
  ['between two files', 'amid-unlinks', 7],
  ['when files are gone and the database does not know', 'after-unlinks', 4],
])('killed while garbage is collected, %s', { timeout: 120_000 }, (_, failpoint, filesLeft) => {
  test('what is needed is here, and the next run takes the rest', async () => {
    await using folder = await temporaryDirectory()
    const { path: data } = folder
    {
      await using victim = await startHosted({ data, more, env: { OUTPORT_FAILPOINT: `${failpoint}!` } })
      await fill(createPusher(victim))
      await run(victim, 'gc')
      expect((await victim.exited).signal).toBe('SIGKILL')
    }
    await using edge = await startHosted({ data, more })
    const client = createPusher(edge)
    const here = await storedDigests(data)
    expect(here).toEqual(expect.arrayContaining(digestsOf(kept)))
    expect(here).toHaveLength(filesLeft)

    // Pushed again while what the killed one left is still there.
    expect((await client.pushImage(name, loose, 'loose')).status).toBe(201)
    const told = await run(edge, 'gc', '--json')
    expect([told.code, told.stderr]).toEqual([0, ''])
    expect((await storedDigests(data)).sort()).toEqual([...digestsOf(kept), ...digestsOf(loose)].sort())
    for (const [image, tag] of [
      [kept, 'latest'],
      [loose, 'loose'],
    ] as const) {
      expect((await client.send('GET', `/v2/${name}/manifests/${tag}`)).body).toEqual(image.manifest.bytes)
      for (const blob of blobsOf(image))
        expect((await client.send('GET', `/v2/${name}/blobs/${blob.digest}`)).body).toEqual(blob.bytes)
    }
    const checked = await run(edge, 'fsck', '--json')
    expect(JSON.parse(checked.stdout)).toMatchObject({ checked: 6, rotten: 0, absent: 0, unknown: 0 })
  })
})
