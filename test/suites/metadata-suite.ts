import { describe, expect, test } from 'vitest'
import type { ManifestRecord, Metadata, PushRecord, StoredRow, TagRow } from '../../src/metadata/metadata.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { parseRepositoryName, parseTag } from '../../src/oci/reference.ts'

/** One database that can be opened again after `close`. */
export interface MetadataHome extends AsyncDisposable {
  open(): Promise<Metadata>
}

const alpine = parseRepositoryName('docker.io/library/alpine')
const tool = parseRepositoryName('team/tool')
const latest = parseTag('latest')

function digest(text: string) {
  return digestOf(new TextEncoder().encode(text))
}

function tagRow(values: Partial<TagRow> = {}): TagRow {
  return {
    repository: alpine,
    tag: latest,
    digest: digest('manifest'),
    mediaType: 'application/vnd.oci.image.index.v1+json',
    size: 1234,
    checkedAt: 1_700_000_000_123,
    ...values,
  }
}

function manifestRecord(values: Partial<ManifestRecord> = {}): ManifestRecord {
  return {
    repository: alpine,
    digest: digest('manifest'),
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    size: 527,
    origin: 'filled',
    children: [
      { mediaType: 'config', digest: digest('config'), size: 1470 },
      { mediaType: 'layer', digest: digest('layer'), size: 3_000_000_000_000 },
    ],
    tag: { tag: latest, checkedAt: 1_700_000_000_123 },
    ...values,
  }
}

/** What {@link Metadata} promises, whatever database stands behind it. */
export function metadataSuite(name: string, create: () => Promise<MetadataHome>): void {
  describe(name, () => {
    describe('links', () => {
      test('a digest is linked in the repository that it was added to, and in no other', async () => {
        await using home = await create()
        const metadata = await home.open()
        const link = { repository: alpine, digest: digest('layer'), origin: 'filled' as const }

        expect(await metadata.links.find(alpine, link.digest)).toBeUndefined()
        await metadata.links.add([link])

        expect(await metadata.links.find(alpine, link.digest)).toEqual(link)
        expect(await metadata.links.find(tool, link.digest)).toBeUndefined()
        expect(await metadata.links.find(alpine, digest('other'))).toBeUndefined()
      })

      test('a link is found as soon as it is being added', async () => {
        await using home = await create()
        const { links } = await home.open()
        const unread = { repository: alpine, digest: digest('unread'), origin: 'pushed' as const }
        const missed = { repository: alpine, digest: digest('missed'), origin: 'pushed' as const }
        await links.find(alpine, missed.digest)

        const added = links.add([unread, missed])

        expect(await links.find(alpine, unread.digest)).toEqual(unread)
        expect(await links.find(alpine, missed.digest)).toEqual(missed)
        await added
      })

      test('an existing link keeps its origin, before and after a restart', async () => {
        await using home = await create()
        const link = { repository: alpine, digest: digest('layer'), origin: 'pushed' as const }
        const first = await home.open()
        await first.links.add([link])
        await first.links.add([{ ...link, origin: 'filled' }])
        expect(await first.links.find(alpine, link.digest)).toEqual(link)
        await first.close()

        const { links } = await home.open()
        const again = links.add([{ ...link, origin: 'mounted' }])
        expect(await links.find(alpine, link.digest)).toEqual(link)
        await again
        expect(await links.find(alpine, link.digest)).toEqual(link)
      })

      test('all links of a call or none', async () => {
        await using home = await create()
        const { links } = await home.open()
        const good = { repository: alpine, digest: digest('good'), origin: 'filled' as const }
        const bad = { repository: alpine, digest: digest('bad'), origin: null as unknown as 'filled' }

        await expect(links.add([good, bad])).rejects.toThrow()

        expect(await links.find(alpine, good.digest)).toBeUndefined()
        expect(await links.holders(good.digest)).toEqual([])
      })

      test('adding nothing is done at once', async () => {
        await using home = await create()
        const { links } = await home.open()
        await links.add([])
      })

      test('all repositories that hold a digest are told, also when they are many', async () => {
        await using home = await create()
        const { links } = await home.open()
        const repositories = Array.from({ length: 2001 }, (_, index) =>
          parseRepositoryName(`team/r${1000 + index}`),
        )
        await links.add(
          repositories.map((repository) => ({ repository, digest: digest('config'), origin: 'pushed' })),
        )
        await links.add([{ repository: tool, digest: digest('other'), origin: 'pushed' }])

        expect(await links.holders(digest('config'))).toEqual(repositories)
        expect(await links.holders(digest('nobody'))).toEqual([])
      })
    })

    describe('tags', () => {
      test('a tag reads as it was put last, as soon as it is being put and after a restart', async () => {
        await using home = await create()
        const first = await home.open()
        expect(await first.tags.find(alpine, latest)).toBeUndefined()
        const rows = [
          tagRow(),
          tagRow({ withheld: 'refused' }),
          tagRow({ digest: digest('moved'), checkedAt: 5 }),
        ]

        for (const row of rows) {
          const put = first.tags.put(row)
          expect(await first.tags.find(alpine, latest)).toEqual(row)
          await put
          expect(await first.tags.find(alpine, latest)).toEqual(row)
        }
        await first.tags.put(tagRow({ repository: tool, withheld: 'absent' }))
        await first.close()

        const { tags } = await home.open()
        expect(await tags.find(alpine, latest)).toEqual(rows.at(-1))
        expect(await tags.find(tool, latest)).toEqual(tagRow({ repository: tool, withheld: 'absent' }))
      })

      test('only an own tag takes the place of an own one, as soon as it is being put and after a restart', async () => {
        await using home = await create()
        const first = await home.open()
        const own = tagRow({ digest: digest('pushed'), own: true })
        const again = tagRow({ digest: digest('pushed again'), own: true })
        const putting = [first.tags.put(tagRow()), first.tags.put(own), first.tags.put(tagRow({ size: 7 }))]
        expect(await first.tags.find(alpine, latest)).toEqual(own)
        await Promise.all(putting)
        await first.recordManifest(manifestRecord())
        await first.tags.put(tagRow({ withheld: 'absent' }))
        expect(await first.tags.find(alpine, latest)).toEqual(own)
        await first.close()

        const second = await home.open()
        // Nothing of it is in memory yet.
        const unread = second.tags.put(tagRow())
        expect(await second.tags.find(alpine, latest)).toEqual(own)
        await unread
        expect(await second.tags.find(alpine, latest)).toEqual(own)
        expect(await second.tags.list(alpine, undefined, 10, 'own')).toEqual([latest])
        await second.tags.put(again)
        expect(await second.tags.find(alpine, latest)).toEqual(again)
        await second.pushes.untag(alpine, latest)
        await second.tags.put(tagRow())
        expect(await second.tags.find(alpine, latest)).toEqual(tagRow())
        expect(await second.tags.list(alpine, undefined, 10, 'own')).toEqual([])
      })

      test('what the caller does with its row afterwards changes nothing', async () => {
        await using home = await create()
        const { tags } = await home.open()
        const row = tagRow()
        const put = tags.put(row)
        row.digest = digest('forged')
        await put

        expect(await tags.find(alpine, latest)).toEqual(tagRow())
      })

      test('a list is in byte order, of one repository, after a name and within a limit', async () => {
        await using home = await create()
        const { tags } = await home.open()
        const names = ['a', 'B', '_x', '10', '9', 'a.b', 'a-b', 'Z', 'ab']
        await Promise.all(names.map((name) => tags.put(tagRow({ tag: parseTag(name) }))))
        await tags.put(tagRow({ repository: tool, tag: parseTag('elsewhere') }))

        expect(await tags.list(alpine, undefined, 100)).toEqual([
          '10',
          '9',
          'B',
          'Z',
          '_x',
          'a',
          'a-b',
          'a.b',
          'ab',
        ])
        expect(await tags.list(alpine, 'B', 3)).toEqual(['Z', '_x', 'a'])
        expect(await tags.list(alpine, 'Bx', 2)).toEqual(['Z', '_x'])
        expect(await tags.list(alpine, 'ab', 10)).toEqual([])
        expect(await tags.list(alpine, undefined, 0)).toEqual([])
      })

      test('a put that fails leaves the tag as it was and fails nobody else', async () => {
        await using home = await create()
        const { tags } = await home.open()
        await tags.put(tagRow())
        const other = tagRow({ repository: tool })

        const [bad, good] = await Promise.allSettled([
          tags.put(tagRow({ size: 0.5, checkedAt: 9 })),
          tags.put(other),
        ])

        expect([bad.status, good.status]).toEqual(['rejected', 'fulfilled'])
        expect(await tags.find(alpine, latest)).toEqual(tagRow())
        expect(await tags.find(tool, latest)).toEqual(other)
      })

      test('a read never shows less than what was put before it was asked', async () => {
        await using home = await create()
        const { tags } = await home.open()
        const names = ['a', 'b', 'c', 'd'].map(parseTag)
        const put = new Map<string, number>()
        const running: Promise<void>[] = []

        for (let turn = 0; turn < 1000; turn++) {
          const tag = names[((turn * 7919) % 13) % names.length] ?? latest
          if (turn % 3 === 0) {
            put.set(tag, turn)
            running.push(tags.put(tagRow({ tag, checkedAt: turn })))
          }
          const atLeast = put.get(tag) ?? 0
          const read = tags.find(alpine, tag).then((row) => {
            expect(row?.checkedAt ?? 0).toBeGreaterThanOrEqual(atLeast)
          })
          if (turn % 5 === 0) await read
          else running.push(read)
        }
        await Promise.all(running)

        for (const tag of names) expect((await tags.find(alpine, tag))?.checkedAt).toBe(put.get(tag))
      })
    })

    describe('manifests', () => {
      test('a record is there as a whole: manifest, children, link and tag', async () => {
        await using home = await create()
        const first = await home.open()
        expect(await first.manifests.find(digest('manifest'))).toBeUndefined()

        const recorded = first.recordManifest(manifestRecord())
        expect(await first.manifests.find(digest('manifest'))).toEqual({
          mediaType: manifestRecord().mediaType,
          size: 527,
        })
        expect(await first.links.find(alpine, digest('manifest'))).toMatchObject({ origin: 'filled' })
        expect(await first.tags.find(alpine, latest)).toMatchObject({ digest: digest('manifest') })
        await recorded
        await first.close()

        const { manifests, links, tags } = await home.open()
        expect(await manifests.find(digest('manifest'))).toEqual({
          mediaType: manifestRecord().mediaType,
          size: 527,
        })
        expect(await manifests.statedSize(alpine, digest('config'))).toBe(1470)
        expect(await manifests.statedSize(alpine, digest('layer'))).toBe(3_000_000_000_000)
        expect(await links.find(alpine, digest('manifest'))).toEqual({
          repository: alpine,
          digest: digest('manifest'),
          origin: 'filled',
        })
        expect(await tags.find(alpine, latest)).toEqual(
          tagRow({ mediaType: manifestRecord().mediaType, size: 527 }),
        )
      })

      test('a record that cannot be kept leaves nothing', async () => {
        await using home = await create()
        const { manifests, links, tags, recordManifest } = await home.open()
        const children = [
          ...manifestRecord().children,
          { mediaType: 'layer', digest: digest('bad'), size: 0.5 },
        ]

        await expect(recordManifest(manifestRecord({ children }))).rejects.toThrow()

        expect(await manifests.find(digest('manifest'))).toBeUndefined()
        expect(await links.find(alpine, digest('manifest'))).toBeUndefined()
        expect(await tags.find(alpine, latest)).toBeUndefined()
        await links.add([{ repository: alpine, digest: digest('manifest'), origin: 'pushed' }])
        expect(await manifests.statedSize(alpine, digest('config'))).toBeUndefined()
      })

      test('recording again changes neither media type nor origin, and brings a withheld tag back', async () => {
        await using home = await create()
        const { manifests, links, tags, recordManifest } = await home.open()
        await recordManifest(manifestRecord({ origin: 'pushed' }))
        await tags.put(tagRow({ withheld: 'absent' }))

        await recordManifest(manifestRecord({ mediaType: 'text/html' }))

        expect(await manifests.find(digest('manifest'))).toMatchObject({
          mediaType: manifestRecord().mediaType,
        })
        expect(await links.find(alpine, digest('manifest'))).toMatchObject({ origin: 'pushed' })
        expect(await tags.find(alpine, latest)).not.toHaveProperty('withheld')
      })

      test('no tag, no children, the same child twice', async () => {
        await using home = await create()
        const { manifests, tags, recordManifest } = await home.open()
        const layer = { mediaType: 'layer', digest: digest('twice'), size: 7 }

        await recordManifest(manifestRecord({ tag: undefined, children: [layer, layer] }))
        await recordManifest(manifestRecord({ tag: undefined, digest: digest('empty'), children: [] }))

        expect(await manifests.statedSize(alpine, layer.digest)).toBe(7)
        expect(await tags.list(alpine, undefined, 10)).toEqual([])
      })

      test('a stated size is told only to a repository that holds a manifest stating it', async () => {
        await using home = await create()
        const { manifests, links, recordManifest } = await home.open()
        await recordManifest(manifestRecord())
        expect(await manifests.statedSize(tool, digest('layer'))).toBeUndefined()

        await links.add([{ repository: tool, digest: digest('layer'), origin: 'mounted' }])
        expect(await manifests.statedSize(tool, digest('layer'))).toBeUndefined()

        await links.add([{ repository: tool, digest: digest('manifest'), origin: 'mounted' }])
        expect(await manifests.statedSize(tool, digest('layer'))).toBe(3_000_000_000_000)
      })

      test('an index of 40,000 children is one record', async () => {
        await using home = await create()
        const { manifests, recordManifest } = await home.open()
        const children = Array.from({ length: 40_000 }, (_, size) => ({
          mediaType: 'm',
          digest: digest(`${size}`),
          size,
        }))

        await recordManifest(manifestRecord({ children }))

        expect(await manifests.statedSize(alpine, digest('0'))).toBe(0)
        expect(await manifests.statedSize(alpine, digest('39999'))).toBe(39_999)
      })
    })

    describe('what is stored', () => {
      /** Later than what is recorded now. */
      const later = 4_000_000_000_000
      const row = (text: string, usedAt: number, size = 10) => ({
        digest: digest(text),
        size,
        usedAt: later + usedAt,
      })
      async function put({ recordBlob, stored }: Metadata, ...rows: StoredRow[]) {
        const record = { repositories: [], origin: 'filled' } as const
        await Promise.all(rows.map(({ digest: of, size }) => recordBlob({ digest: of, size, ...record })))
        await stored.touch(rows.map(({ digest: of, usedAt }) => [of, usedAt] as const))
      }
      const digests = async ({ stored }: Metadata) => {
        const rows = await stored.leastUsed(undefined, 100)
        return rows.map(({ digest: of }) => of)
      }

      test('is told the longest unused first, in pages, and with its links', async () => {
        await using home = await create()
        const metadata = await home.open()
        await put(metadata, row('c', 30), row('b', 20))
        await metadata.recordBlob({
          digest: digest('a'),
          size: 7,
          repositories: [alpine, tool],
          origin: 'filled',
        })
        await metadata.stored.touch([[digest('a'), later + 10]])

        const [first, ...rest] = await metadata.stored.leastUsed(undefined, 1)
        expect([first, ...rest]).toEqual([row('a', 10, 7)])
        expect(await metadata.stored.leastUsed(first, 5)).toEqual([row('b', 20), row('c', 30)])
        expect(await metadata.stored.held(['c', 'a', 'unknown'].map(digest))).toEqual([
          {
            ...row('a', 10, 7),
            links: [alpine, tool].map((repository) => ({ repository, origin: 'filled' })),
          },
          { ...row('c', 30), links: [] },
        ])
        expect(await metadata.links.find(tool, digest('a'))).toMatchObject({ origin: 'filled' })
        expect(await metadata.stored.bytes()).toBe(27)
      })

      test('of the same time is told once, however the pages are cut', async () => {
        await using home = await create()
        const metadata = await home.open()
        const rows = Array.from({ length: 9 }, (_, at) => row(`same ${at}`, 5))
        await put(metadata, ...rows)
        const told: string[] = []
        for (let page = await metadata.stored.leastUsed(undefined, 2); page.length > 0; ) {
          told.push(...page.map(({ digest: of }) => of))
          page = await metadata.stored.leastUsed(page.at(-1), 2)
        }
        expect(told).toEqual(rows.map(({ digest: of }) => of).sort())
      })

      test('is used with what points to it, and right after it', async () => {
        await using home = await create()
        const metadata = await home.open()
        const index = digest('index')
        const child = { mediaType: 'image', digest: digest('manifest'), size: 527 }
        await metadata.recordManifest(manifestRecord({ digest: index, children: [child] }))
        await metadata.recordManifest(manifestRecord())
        await put(metadata, row('config', 1), row('layer', 1), row('other', 2))
        await metadata.stored.touch([[index, later + 10]])

        const rows = await metadata.stored.leastUsed(undefined, 100)
        expect(rows.map(({ digest: of, usedAt }) => [of, usedAt - later])).toEqual([
          [digest('other'), 2],
          [index, 10],
          [digest('manifest'), 11],
          ...[digest('config'), digest('layer')].sort().map((of) => [of, 12]),
        ])
        await metadata.stored.touch([[index, 3]])
        expect(await metadata.stored.leastUsed(undefined, 100)).toEqual(rows)
      })

      test('and removed is linked nowhere, and no manifest any more', async () => {
        await using home = await create()
        const metadata = await home.open()
        const record = manifestRecord()
        await metadata.recordManifest(record)
        await metadata.links.find(alpine, record.digest)
        await metadata.stored.remove(await metadata.stored.held([record.digest]))

        expect(await metadata.links.find(alpine, record.digest)).toBeUndefined()
        expect(await metadata.manifests.find(record.digest)).toBeUndefined()
        expect(await metadata.manifests.statedSize(alpine, digest('layer'))).toBeUndefined()
        expect([await digests(metadata), await metadata.stored.bytes()]).toEqual([[], 0])

        await metadata.recordManifest(record)
        expect(await metadata.links.find(alpine, record.digest)).toBeDefined()
        expect(await metadata.manifests.find(record.digest)).toBeDefined()
      })

      test('is told as not looked at for long, the longest first, until it is looked at or comes again', async () => {
        await using home = await create()
        const { stored, recordBlob } = await home.open()
        const record = { repositories: [], origin: 'filled', size: 1 } as const
        for (const text of ['a', 'b', 'c']) await recordBlob({ digest: digest(text), ...record })
        expect(await stored.longestUnchecked(Date.now() - 60_000, 10)).toEqual([])
        await stored.checked([digest('a')], later + 2)
        await stored.checked([digest('b')], later + 1)
        expect(await stored.longestUnchecked(later + 2, 10)).toEqual(['c', 'b'].map(digest))
        expect(await stored.longestUnchecked(later + 3, 2)).toEqual(['c', 'b'].map(digest))
        await recordBlob({ digest: digest('b'), ...record })
        expect((await stored.longestUnchecked(later + 2, 10)).toSorted()).toEqual(
          ['b', 'c'].map(digest).toSorted(),
        )
      })
    })

    test('a tag that is removed is known no more, before and after a restart', async () => {
      await using home = await create()
      const metadata = await home.open()
      await metadata.tags.put(tagRow())
      await metadata.tags.put(tagRow({ repository: tool }))
      await metadata.tags.remove(alpine, latest, digest('another'))
      expect(await metadata.tags.find(alpine, latest)).toMatchObject({ digest: digest('manifest') })
      await metadata.tags.remove(alpine, latest, digest('manifest'))
      expect(await metadata.tags.find(alpine, latest)).toBeUndefined()
      const left = [{ repository: tool, tag: latest, digest: digest('manifest') }]
      expect(await metadata.tags.all(undefined, 10)).toEqual(left)
      expect(await metadata.tags.all(left[0], 10)).toEqual([])
      await metadata.close()
      expect(await (await home.open()).tags.find(alpine, latest)).toBeUndefined()
    })

    test('the parts of an image are told with what points to them before, and what needs them', async () => {
      await using home = await create()
      const metadata = await home.open()
      const index = digest('index')
      const child = {
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        digest: digest('manifest'),
        size: 527,
      }
      const other = { ...child, digest: digest('other'), size: 9 }
      await metadata.recordManifest(manifestRecord({ digest: index, children: [child, other] }))
      await metadata.recordManifest(manifestRecord())
      await metadata.recordBlob({
        digest: digest('layer'),
        size: 4,
        repositories: [alpine],
        origin: 'filled',
      })

      const parts = await metadata.images.parts(index)
      expect(parts.map(({ digest: of, ...part }) => [of, part])).toEqual([
        [index, { kind: 'manifest', size: 527, depth: 0, isHere: true }],
        ...[
          [child.digest, { kind: 'manifest', size: 527, depth: 1, isHere: true }] as const,
          [other.digest, { kind: 'manifest', size: 9, depth: 1, isHere: false }] as const,
        ].toSorted(([one], [another]) => (one < another ? -1 : 1)),
        ...[
          [digest('config'), { kind: 'blob', size: 1470, depth: 2, isHere: false }] as const,
          [digest('layer'), { kind: 'blob', size: 4, depth: 2, isHere: true }] as const,
        ].toSorted(([one], [another]) => (one < another ? -1 : 1)),
      ])
      const needs = await metadata.stored.needs([index, child.digest, digest('layer'), digest('unknown')])
      expect([...needs]).toEqual([
        [index, { parents: 0, tags: 0 }],
        [child.digest, { parents: 1, tags: 1 }],
        [digest('layer'), { parents: 1, tags: 0 }],
        [digest('unknown'), { parents: 0, tags: 0 }],
      ])
      expect(await metadata.manifests.children([index, child.digest])).toEqual(
        new Map([child.digest, other.digest, digest('config'), digest('layer')].map((of) => [of, 1])),
      )
      const links = await metadata.links.stored(undefined, 2)
      expect([...links, ...(await metadata.links.stored(links.at(-1), 9))]).toEqual(
        [index, child.digest, digest('layer')].sort().map((of) => ({ repository: alpine, digest: of })),
      )
    })

    test('pins are kept once each, until they are removed', async () => {
      await using home = await create()
      const metadata = await home.open()
      for (const [pattern, createdAt] of [
        ['b/**', 2],
        ['a', 1],
        ['b/**', 3],
      ] as const)
        await metadata.pins.add({ pattern, createdAt })
      await metadata.close()
      const { pins } = await home.open()
      expect(await pins.list()).toEqual([
        { pattern: 'a', createdAt: 1 },
        { pattern: 'b/**', createdAt: 2 },
      ])
      await pins.remove('a')
      expect((await pins.list()).map(({ pattern }) => pattern)).toEqual(['b/**'])
    })

    describe('images', () => {
      const parts = (...names: string[]) =>
        names.map((name) => ({ mediaType: 'part', digest: digest(name), size: name.length }))

      async function put(metadata: Metadata, tag: string, kind: 'manifest' | 'index', children: string[]) {
        const record = manifestRecord({
          digest: digest(tag),
          mediaType: `application/vnd.oci.image.${kind}.v1+json`,
          size: 100,
          children: parts(...children),
          tag: { tag: parseTag(tag), checkedAt: 1 },
        })
        await metadata.recordManifest(record)
      }
      const keep = (metadata: Metadata, ...names: string[]) =>
        Promise.all(
          names.map((name) =>
            metadata.recordBlob({
              digest: digest(name),
              size: name.length,
              repositories: [alpine],
              origin: 'filled',
            }),
          ),
        )
      const told = async (metadata: Metadata) =>
        (await metadata.images.list(undefined, 100)).map(({ tag, bytes, missing }) => [tag, bytes, missing])

      test('are told with what of them is here and how many parts are not', async () => {
        await using home = await create()
        const metadata = await home.open()
        await put(metadata, 'one', 'manifest', ['a', 'bb', 'ccc'])
        await put(metadata, 'two', 'manifest', ['a', 'dddd'])
        await keep(metadata, 'a', 'bb')
        expect(await told(metadata)).toEqual([
          ['one', 103, 1],
          ['two', 101, 1],
        ])
      })

      test('of an index are each part once, those of its images among them', async () => {
        await using home = await create()
        const metadata = await home.open()
        await put(metadata, 'amd64', 'manifest', ['base', 'amd'])
        await put(metadata, 'arm64', 'manifest', ['base', 'arm'])
        await put(metadata, 'whole', 'index', ['amd64', 'arm64', 'riscv'])
        await keep(metadata, 'base', 'arm')
        const [, , whole] = await metadata.images.list(undefined, 100)
        expect(whole).toMatchObject({
          tag: 'whole',
          bytes: 300 + 4 + 3,
          missing: 2,
          usedAt: expect.any(Number),
        })
      })

      test('whose manifest is not here are told, too, in pages', async () => {
        await using home = await create()
        const metadata = await home.open()
        for (const tag of ['a', 'b', 'c']) await put(metadata, tag, 'manifest', ['x'])
        await metadata.stored.remove(await metadata.stored.held([digest('b')]))
        const [first] = await metadata.images.list(undefined, 1)
        expect(first).toMatchObject({ repository: alpine, tag: 'a', digest: digest('a'), missing: 1 })
        const rest = await metadata.images.list(first, 5)
        expect(rest.map(({ tag, missing, usedAt }) => [tag, missing, usedAt !== undefined])).toEqual([
          ['b', 1, false],
          ['c', 1, true],
        ])
      })
    })

    describe('pushes', () => {
      const pushed = (values: Partial<PushRecord> = {}): PushRecord => {
        const { tag: _, origin: __, ...record } = manifestRecord({ repository: tool })
        return { ...record, tags: [latest, parseTag('v1')], ...values }
      }

      test('a manifest comes with its tags and its link, and goes with them, also after a restart', async () => {
        await using home = await create()
        const metadata = await home.open()
        const record = pushed()
        await metadata.recordManifest(manifestRecord())
        await metadata.pushes.manifest(record)
        expect(await metadata.links.find(tool, record.digest)).toMatchObject({ origin: 'pushed' })
        expect(await metadata.tags.list(tool, undefined, 10)).toEqual([latest, 'v1'])

        await metadata.pushes.untag(tool, parseTag('v1'))
        expect(await metadata.tags.find(tool, parseTag('v1'))).toBeUndefined()
        expect(await metadata.tags.find(tool, latest)).toMatchObject({ digest: record.digest })

        await metadata.pushes.unlink(tool, record.digest)
        const gone = async ({ links, tags, manifests }: Metadata) => [
          await links.find(tool, record.digest),
          await tags.find(tool, latest),
          (await tags.list(tool, undefined, 10)).length,
          (await links.find(alpine, record.digest))?.origin,
          (await tags.find(alpine, latest))?.digest,
          (await manifests.find(record.digest))?.size,
        ]
        const left = [undefined, undefined, 0, 'filled', record.digest, record.size]
        expect(await gone(metadata)).toEqual(left)
        await metadata.close()
        expect(await gone(await home.open())).toEqual(left)
      })

      test('referrers are listed by subject and type, in the order of their digests', async () => {
        await using home = await create()
        const { pushes } = await home.open()
        const subject = digest('subject')
        const all = ['a', 'b', 'c'].map((text) => ({ text, digest: digest(text) }))
        for (const { text, digest: of } of all) {
          const artifactType = text === 'b' ? 'x/b' : 'x/other'
          const descriptor = { mediaType: 'x/manifest', digest: of, size: text.length, artifactType }
          const referrer = { subject, descriptor }
          await pushes.manifest(pushed({ digest: of, tags: [], referrer }))
        }
        const sorted = all.map((each) => each.digest).sort()
        const list = async (type?: string, after?: Digest, limit = 10) =>
          (await pushes.referrers(tool, subject, type, after, limit)).map((each) => each.digest)
        expect(await list()).toEqual(sorted)
        expect(await list(undefined, sorted[0], 1)).toEqual([sorted[1]])
        expect(await list('x/b')).toEqual([digest('b')])
        expect(await pushes.referrers(alpine, subject, undefined, undefined, 10)).toEqual([])
        await pushes.unlink(tool, digest('b'))
        expect(await list('x/b')).toEqual([])
      })

      test('what a repository holds is told with its size, for any number of digests', async () => {
        await using home = await create()
        const { links, recordBlob } = await home.open()
        const digests = Array.from({ length: 2500 }, (_, at) => digest(`blob ${at}`))
        await Promise.all(
          digests
            .slice(0, 1500)
            .map((of, size) =>
              recordBlob({ digest: of, size, repositories: [size % 2 ? tool : alpine], origin: 'pushed' }),
            ),
        )
        const held = await links.among(tool, digests)
        expect(held.size).toBe(750)
        expect(held.get(digests[1] as Digest)).toEqual({ size: 1, origin: 'pushed' })
        expect(held.get(digests[2] as Digest)).toBeUndefined()
      })

      test('repositories that hold something are listed in their order', async () => {
        await using home = await create()
        const { links } = await home.open()
        const names = ['a/b', 'team', 'team-a/x', 'team/app', 'team/app2', 'team2/x'].map(parseRepositoryName)
        const origin = 'pushed' as const
        for (const text of ['one', 'two'])
          await links.add(names.map((repository) => ({ repository, digest: digest(text), origin })))
        expect(await links.repositories(undefined, 10)).toEqual([...names].sort())
        expect(await links.repositories('team', 2)).toEqual(['team-a/x', 'team/app'])
        expect(await links.repositories('zzz', 2)).toEqual([])
        expect(await links.isUsed(parseRepositoryName('team/app'))).toBe(true)
        expect(await links.isUsed(parseRepositoryName('team/ap'))).toBe(false)
      })
    })

    test('closing keeps what is under way and refuses what comes after', async () => {
      await using home = await create()
      const first = await home.open()
      const puts = Array.from({ length: 50 }, (_, index) =>
        first.tags.put(tagRow({ tag: parseTag(`t${index}`) })),
      )
      await Promise.all([...puts, first.close(), first.close()])

      await expect(first.tags.put(tagRow())).rejects.toThrow(/closed/)
      const { tags } = await home.open()
      expect(await tags.list(alpine, undefined, 100)).toHaveLength(50)
      expect(await tags.find(alpine, latest)).toBeUndefined()
    })
  })
}
