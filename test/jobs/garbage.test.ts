import { describe, expect, test } from 'vitest'
import { parsePattern } from '../../src/oci/pattern.ts'
import { parseTag } from '../../src/oci/reference.ts'
import { blobsOf, buildImage, buildIndex, buildReferrer, type Content } from '../support/images.ts'
import { type GarbageHome, garbageHome, hour, other, team } from './support/garbage-home.ts'

const [image, second] = ['image', 'second'].map((seed) => buildImage({ layers: [1000], seed })) as [
  ReturnType<typeof buildImage>,
  ReturnType<typeof buildImage>,
]
const [config, layer] = blobsOf(image) as [Content, Content]
const bytesOf = (...contents: Content[]) => contents.reduce((sum, { bytes }) => sum + bytes.length, 0)
const none = { kind: 'end', manifests: 0, blobs: 0, parts: 0, bytes: 0 }

/** Where something waits until it is let go on. */
function barrier() {
  const [reached, open] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  return {
    reached: reached.promise,
    open: open.resolve,
    async wait() {
      reached.resolve()
      await open.promise
    },
  }
}

describe('a blob', () => {
  test('that no manifest of its repository names goes, and its bytes with the last link', async () => {
    await using home = await garbageHome()
    await home.pushImage(team, image, 'latest')
    for (const blob of [layer, ...blobsOf(second)]) await home.pushBlob(other, blob)
    await home.mounts.mount(team, blobsOf(second)[1]?.digest ?? layer.digest, other)

    home.age()
    expect(await home.collect()).toEqual([
      { kind: 'repository', repository: team, manifests: 0, blobs: 1, bytes: 0 },
      { kind: 'repository', repository: other, manifests: 0, blobs: 3, bytes: bytesOf(...blobsOf(second)) },
      { ...none, blobs: 4, bytes: bytesOf(...blobsOf(second)) },
    ])
    expect(await home.here([...blobsOf(image), ...blobsOf(second)])).toEqual(blobsOf(image))
    expect(await home.isLinked(team, layer)).toBe(true)
    expect(await home.isLinked(other, layer)).toBe(false)
    expect(await home.collect()).toEqual([none])
  })

  test('stays while it is young, is used, or belongs to what is pinned', async () => {
    await using home = await garbageHome()
    await home.pushBlob(team, layer)
    expect(await home.collect()).toEqual([none])
    home.age()
    home.pins.push(parsePattern('team/app'))
    expect(await home.collect()).toEqual([none])
    home.pins.pop()
    home.usage.used(layer.digest)
    expect(await home.collect()).toEqual([none])
    expect(await home.isLinked(team, layer)).toBe(true)
    home.age()
    expect(await home.collect()).toMatchObject([{ repository: team, blobs: 1 }, { blobs: 1 }])
  })

  test('that is mounted, or pushed again, is young again', async () => {
    await using home = await garbageHome()
    for (const blob of [config, layer]) await home.pushBlob(team, blob)
    home.age()
    expect(await home.mounts.mount(team, layer.digest, team)).toBe(true)
    await home.pushBlob(team, config)
    expect(await home.collect()).toEqual([none])
  })

  test('of a mirror is not its business, whatever names it', async () => {
    await using home = await garbageHome()
    await home.blobs.write(layer.digest, layer.bytes)
    await home.metadata.recordBlob({
      ...{ digest: layer.digest, size: layer.bytes.length, origin: 'filled' },
      repositories: [team],
    })
    home.age()
    expect(await home.collect({ untaggedMs: hour })).toEqual([none])
  })

  test('that nothing links goes at once, with or without its file', async () => {
    await using home = await garbageHome()
    for (const blob of [config, layer]) {
      await home.pushBlob(team, blob)
      await home.holdings.remove(team, blob.digest, 'blob')
    }
    await home.blobs.remove(config.digest)
    expect(await home.collect()).toEqual([
      { kind: 'unlinked', parts: 2, bytes: bytesOf(config, layer) },
      { ...none, parts: 2, bytes: bytesOf(config, layer) },
    ])
    expect(await home.here([config, layer])).toEqual([])
    expect(await home.metadata.stored.bytes()).toBe(0)
  })

  test('that was deleted stays while it is read, and goes then', async () => {
    await using home = await garbageHome()
    await home.pushBlob(team, layer)
    {
      using _reading = home.usage.reading(layer.digest)
      await home.holdings.remove(team, layer.digest, 'blob')
      expect(await home.collect()).toEqual([none])
    }
    await home.usage.flush()
    expect(await home.collect()).toMatchObject([{ kind: 'unlinked', parts: 1 }, { parts: 1 }])
  })
})

describe('a manifest without a tag', () => {
  test('stays unless it is asked for, and then goes with what only it names', async () => {
    await using home = await garbageHome()
    await home.pushImage(team, image)
    await home.pushImage(team, second, '2')
    expect(await home.collect({ untaggedMs: hour })).toEqual([none])
    home.age()
    expect(await home.collect()).toEqual([none])

    expect(await home.collect({ untaggedMs: hour })).toMatchObject([
      { repository: team, manifests: 1, blobs: 2 },
      { manifests: 1, blobs: 2, parts: 0 },
    ])
    const parts = [image, second].flatMap((each) => [...blobsOf(each), each.manifest])
    expect(await home.here(parts)).toEqual([...blobsOf(second), second.manifest])
  })

  test('stays where its subject may be upstream’s', async () => {
    await using home = await garbageHome()
    const signed = buildReferrer({
      ...{ subject: image.manifest, artifactType: 'text/x' },
      bytes: Buffer.from('of what was mirrored, and has gone for room'),
    })
    await home.pushImage(team, signed)
    home.upstreams.add(team)
    home.age()
    expect(await home.collect({ untaggedMs: hour })).toEqual([none])
    home.upstreams.delete(team)
    expect(await home.collect({ untaggedMs: hour })).toMatchObject([{ manifests: 1 }, { manifests: 1 }])
  })

  test('stays where an index names it, or where its subject is here; they go one after another', async () => {
    await using home = await garbageHome()
    const index = buildIndex([{ image }, { image: second }])
    const signature = (subject: Content, word: string) =>
      buildReferrer({ subject, artifactType: 'text/x', bytes: Buffer.from(word) })
    const sign = signature(index.manifest, 'of the index')
    const countersign = signature(sign.manifest, 'of its signature')
    const images = [image, second, sign, countersign]
    for (const each of images) await home.pushImage(team, each)
    await home.put(team, index.manifest, 'latest')
    const parts = [index.manifest, ...images.flatMap((each) => [each.manifest, ...blobsOf(each)])]
    home.age()
    expect(await home.collect({ untaggedMs: hour })).toEqual([none])

    await home.holdings.untag(team, parseTag('latest'))
    home.age()
    expect(await home.collect({ untaggedMs: hour })).toMatchObject([
      { repository: team, manifests: 5 },
      {
        manifests: 5,
        parts: 0,
        bytes: bytesOf(...new Map(parts.map((each) => [each.digest, each])).values()),
      },
    ])
    expect(await home.here(parts)).toEqual([])
    expect(await home.metadata.stored.bytes()).toBe(0)
    expect(
      await home.metadata.pushes.referrers(team, index.manifest.digest, undefined, undefined, 9),
    ).toEqual([])
  })

  test('is as young as its tag leaving it', async () => {
    await using home = await garbageHome()
    await home.pushImage(team, image, 'latest', 'once')
    await home.pushImage(team, second, '2')
    home.age()
    await home.holdings.untag(team, parseTag('once'))
    await home.put(team, second.manifest, 'latest')
    await home.holdings.untag(team, parseTag('2'))
    expect(await home.collect({ untaggedMs: hour })).toEqual([none])
    home.age()
    expect(await home.collect({ untaggedMs: hour })).toMatchObject([{ manifests: 1, blobs: 2 }, {}])
    expect(await home.here([image.manifest, second.manifest])).toEqual([second.manifest])
  })
})

describe('while a repository is pushed to', () => {
  /** What a push of `image` has brought, and nothing names yet. */
  async function begun(home: GarbageHome): Promise<void> {
    for (const blob of blobsOf(image)) await home.pushBlob(team, blob)
  }

  test('a manifest that is looked at finds its blobs at the commit', async () => {
    await using home = await garbageHome()
    await begun(home)
    const writing = barrier()
    home.hooks.write = writing.wait
    const put = home.put(team, image.manifest, 'latest')
    await writing.reached
    home.age()
    const collected = home.collect()
    writing.open()
    await put
    expect(await collected).toEqual([none])
    expect(await home.here(blobsOf(image))).toEqual(blobsOf(image))
  })

  test('a manifest that comes while its blobs go is refused, and put when they came again', async () => {
    await using home = await garbageHome()
    await begun(home)
    const removing = barrier()
    home.hooks.remove = removing.wait
    home.age()
    const collected = home.collect()
    await removing.reached
    await expect(home.put(team, image.manifest, 'latest')).rejects.toMatchObject({
      code: 'MANIFEST_BLOB_UNKNOWN',
    })
    const again = begun(home)
    removing.open()
    await Promise.all([collected, again])
    await home.put(team, image.manifest, 'latest')
    expect(await home.here([...blobsOf(image), image.manifest])).toHaveLength(3)
    expect(await home.collect()).toEqual([none])
  })

  test('a manifest without a tag that comes again while it goes is here, with its blobs', async () => {
    await using home = await garbageHome()
    await home.pushImage(team, image)
    const removing = barrier()
    home.hooks.remove = removing.wait
    home.age()
    const collected = home.collect({ untaggedMs: hour })
    await removing.reached
    const again = home.put(team, image.manifest, 'latest')
    removing.open()
    await Promise.all([collected, again])
    expect(await home.here([...blobsOf(image), image.manifest])).toHaveLength(3)
    for (const part of [...blobsOf(image), image.manifest]) expect(await home.isLinked(team, part)).toBe(true)
  })

  test('a blob that is mounted while it goes is not, and nothing points to it', async () => {
    await using home = await garbageHome()
    await home.pushBlob(team, layer)
    const removing = barrier()
    home.hooks.remove = removing.wait
    home.age()
    const collected = home.collect()
    await removing.reached
    const mounted = home.mounts.mount(other, layer.digest, team)
    const mountedAny = home.mounts.mountAny(other, layer.digest, () => true)
    removing.open()
    expect(await Promise.all([mounted, mountedAny])).toEqual([false, false])
    await collected
    expect(await home.metadata.stored.held([layer.digest])).toEqual([])
  })

  test('a blob that is mounted elsewhere before it goes keeps its bytes', async () => {
    await using home = await garbageHome()
    await home.pushBlob(team, layer)
    expect(await home.mounts.mount(other, layer.digest, team)).toBe(true)
    await home.pushBlob(other, config)
    await home.put(other, image.manifest, 'latest')
    home.age()
    expect(await home.collect()).toMatchObject([{ repository: team, blobs: 1, bytes: 0 }, { bytes: 0 }])
    expect(await home.here([layer])).toEqual([layer])
  })

  test.each([
    ['looked for', 1],
    ['about to go', 2],
  ])('a blob that a client finds while it is %s is never gone, although that was noted meanwhile', async (_, look) => {
    await using home = await garbageHome()
    await home.pushBlob(team, layer)
    home.age()
    const { garbage } = home.metadata
    let looks = 0
    const asked: unknown[] = []
    home.options.metadata = {
      ...home.metadata,
      garbage: {
        ...garbage,
        async links(...which) {
          const page = await garbage.links(...which)
          looks += 1
          if (looks !== look) return page
          expect(page.found).toEqual([layer.digest])
          home.usage.used(layer.digest)
          await home.usage.flush()
          return page
        },
        unlink(repository, digests, rules) {
          asked.push(...digests)
          return garbage.unlink(repository, digests, rules)
        },
      },
    }
    expect(await home.collect()).toEqual([none])
    expect([looks, asked]).toEqual([2, []])
    expect(await home.isLinked(team, layer)).toBe(true)
  })

  test('what a reader of a manifest that was just deleted will come for stays', async () => {
    await using home = await garbageHome()
    await home.pushImage(team, image, 'latest')
    home.age()
    home.usage.used(image.manifest.digest)
    await home.holdings.remove(team, image.manifest.digest, 'manifest')
    expect(await home.collect()).toMatchObject([{ kind: 'unlinked', parts: 1 }, { blobs: 0 }])
    expect(await home.here(blobsOf(image))).toEqual(blobsOf(image))
    for (const blob of blobsOf(image)) expect(await home.isLinked(team, blob)).toBe(true)
  })
})

test('a file that cannot be removed is told at the end, and the rest goes', async () => {
  await using home = await garbageHome()
  for (const blob of blobsOf(image)) await home.pushBlob(team, blob)
  home.hooks.remove = async (digest) => {
    if (digest === layer.digest) throw new Error('the disk is broken')
  }
  home.age()
  await expect(home.collect()).rejects.toThrow('the disk is broken')
  expect(await home.here(blobsOf(image))).toEqual([layer])
  home.hooks.remove = async () => {}
  expect(await home.collect()).toMatchObject([{ kind: 'unlinked', parts: 1 }, { parts: 1 }])
})
