import { describe, expect, test } from 'vitest'
import { createRowCache } from '../../src/metadata/row-cache.ts'

const never = () => Promise.reject(new Error('read although it is known'))
const nothing = () => Promise.resolve(undefined)
const done = Promise.resolve()
/** Everything that has been resolved so far has been heard of. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

describe('reading', () => {
  test('a row and its absence are read once', async () => {
    const cache = createRowCache<string>(10)
    expect(await cache.find('here', async () => 'row')).toBe('row')
    expect(await cache.find('gone', nothing)).toBeUndefined()

    expect(await cache.find('here', never)).toBe('row')
    expect(await cache.find('gone', never)).toBeUndefined()
  })

  test('callers that ask at once share a read', async () => {
    const cache = createRowCache<string>(10)
    const read = Promise.withResolvers<string>()
    const first = cache.find('key', () => read.promise)
    const second = cache.find('key', never)
    read.resolve('row')

    expect(await Promise.all([first, second])).toEqual(['row', 'row'])
  })

  test('a failed read is told and not kept', async () => {
    const cache = createRowCache<string>(10)
    await expect(cache.find('key', () => Promise.reject(new Error('disk')))).rejects.toThrow('disk')
    expect(await cache.find('key', async () => 'row')).toBe('row')
  })

  test('no more rows are kept than the bound says', async () => {
    const cache = createRowCache<string>(2)
    for (const key of ['a', 'b', 'c']) await cache.find(key, async () => key)

    expect(await cache.find('c', never)).toBe('c')
    expect(await cache.find('a', async () => 'read again')).toBe('read again')
  })
})

describe('writing', () => {
  test('a row that is being written is found, whatever the bound, and stays', async () => {
    const cache = createRowCache<string>(1)
    const written = Promise.withResolvers<void>()
    for (const key of ['a', 'b', 'c']) cache.replaced(key, key, written.promise)
    for (const key of ['a', 'b', 'c']) expect(await cache.find(key, never)).toBe(key)

    written.resolve()
    await turn()
    expect(await cache.find('c', never)).toBe('c')
  })

  test('a read that a write has overtaken leaves nothing behind', async () => {
    const cache = createRowCache<string>(10)
    const read = Promise.withResolvers<string>()
    const early = cache.find('key', () => read.promise)
    cache.replaced('key', 'new', done)
    await turn()
    read.resolve('old')
    await early

    expect(await cache.find('key', never)).toBe('new')
  })

  test('a row that is removed is gone at once, and comes back when it could not be', async () => {
    const cache = createRowCache<string>(10)
    const written = Promise.withResolvers<void>()
    await cache.find('key', async () => 'row')
    cache.removed('key', written.promise)
    expect(await cache.find('key', never)).toBeUndefined()
    written.reject(new Error('disk'))
    await written.promise.catch(() => {})
    await done
    expect(await cache.find('key', async () => 'row')).toBe('row')
    cache.removed('key', done)
    cache.added('key', 'again', done)
    expect(await cache.find('key', never)).toBe('again')
  })

  test('a read that a write has overtaken is not joined when the written row has left the cache', async () => {
    const cache = createRowCache<string>(1)
    const read = Promise.withResolvers<string>()
    const early = cache.find('key', () => read.promise)
    cache.replaced('key', 'new', done)
    await turn()
    await cache.find('another', nothing)

    expect(await cache.find('key', async () => 'new')).toBe('new')
    read.resolve('old')
    await early
    expect(await cache.find('key', never)).toBe('new')
  })

  test('a write that fails is forgotten, and so is what was known before', async () => {
    const cache = createRowCache<string>(10)
    await cache.find('key', async () => 'old')
    const written = Promise.withResolvers<void>()
    cache.replaced('key', 'new', written.promise)
    written.reject(new Error('disk full'))
    await turn()

    expect(await cache.find('key', async () => 'stored')).toBe('stored')
  })

  test('the later of two writes is found when the earlier fails', async () => {
    const cache = createRowCache<string>(10)
    const earlier = Promise.withResolvers<void>()
    const later = Promise.withResolvers<void>()
    cache.replaced('key', 'earlier', earlier.promise)
    cache.replaced('key', 'later', later.promise)
    earlier.reject(new Error('disk full'))
    await turn()

    expect(await cache.find('key', never)).toBe('later')
    later.resolve()
    await turn()
    expect(await cache.find('key', never)).toBe('later')
  })

  test('the earlier of two writes is found while it goes on and the later has failed', async () => {
    const cache = createRowCache<string>(10)
    const earlier = Promise.withResolvers<void>()
    cache.replaced('key', 'earlier', earlier.promise)
    cache.replaced('key', 'later', Promise.reject(new Error('closed')))
    await turn()

    expect(await cache.find('key', never)).toBe('earlier')
    earlier.resolve()
    await turn()
    expect(await cache.find('key', never)).toBe('earlier')
  })

  test('the earlier of two writes is read again when the later fails', async () => {
    const cache = createRowCache<string>(10)
    const later = Promise.withResolvers<void>()
    cache.replaced('key', 'earlier', done)
    cache.replaced('key', 'later', later.promise)
    later.reject(new Error('disk full'))
    await turn()

    expect(await cache.find('key', async () => 'earlier')).toBe('earlier')
  })
})

describe('adding', () => {
  test('takes the place of a known absence without reading', async () => {
    const cache = createRowCache<string>(10)
    await cache.find('key', nothing)
    cache.added('key', 'new', done)

    expect(await cache.find('key', never)).toBe('new')
    await turn()
    expect(await cache.find('key', never)).toBe('new')
  })

  test('leaves a known row', async () => {
    const cache = createRowCache<string>(10)
    await cache.find('key', async () => 'old')
    cache.added('key', 'new', done)

    expect(await cache.find('key', never)).toBe('old')
  })

  test('takes the place of a row that yields, and is found over one that is read', async () => {
    const cache = createRowCache<string>(10, (there) => there.startsWith('weak'))
    await cache.find('known', async () => 'weak')
    cache.added('known', 'new', done)
    expect(await cache.find('known', never)).toBe('new')
    cache.added('known', 'newer', done)
    expect(await cache.find('known', never)).toBe('new')

    const written = Promise.withResolvers<void>()
    for (const key of ['weak', 'strong']) cache.added(key, 'new', written.promise)
    expect(await cache.find('weak', async () => 'weak')).toBe('new')
    expect(await cache.find('strong', async () => 'strong')).toBe('strong')
  })

  test('over what is not known, the stored row wins and the added one is found otherwise', async () => {
    const cache = createRowCache<string>(10)
    const written = Promise.withResolvers<void>()
    cache.added('stored', 'new', written.promise)
    cache.added('absent', 'new', written.promise)

    expect(await cache.find('stored', async () => 'old')).toBe('old')
    expect(await cache.find('absent', nothing)).toBe('new')
  })

  test('a read from before its commit is not taken for an absence after it', async () => {
    const cache = createRowCache<string>(10)
    const written = Promise.withResolvers<void>()
    const read = Promise.withResolvers<undefined>()
    cache.added('key', 'new', written.promise)
    const early = cache.find('key', () => read.promise)
    written.resolve()
    await turn()
    read.resolve(undefined)

    expect(await early).toBe('new')
    expect(await cache.find('key', async () => 'new')).toBe('new')
  })

  test('an absence that was read before its commit is not kept', async () => {
    const cache = createRowCache<string>(10)
    const written = Promise.withResolvers<void>()
    cache.added('key', 'new', written.promise)
    expect(await cache.find('key', nothing)).toBe('new')
    written.resolve()
    await turn()

    expect(await cache.find('key', async () => 'new')).toBe('new')
  })

  test('one that fails is not found by those who waited for a read', async () => {
    const cache = createRowCache<string>(10)
    const written = Promise.withResolvers<void>()
    const read = Promise.withResolvers<undefined>()
    cache.added('key', 'new', written.promise)
    const early = cache.find('key', () => read.promise)
    written.reject(new Error('disk full'))
    await turn()
    read.resolve(undefined)

    expect(await early).toBeUndefined()
  })
})
