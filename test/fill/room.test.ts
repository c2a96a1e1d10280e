import { describe, expect, test } from 'vitest'
import { createRoomOfBlob } from '../../src/fill/room.ts'

const MiB = 1024 * 1024

function roomOf(budget: number) {
  const state = { taken: 0, landed: 0 }
  const room = {
    async take(bytes: number) {
      if (state.taken + bytes > budget) throw Object.assign(new Error('full'), { code: 'ENOSPC' })
      state.taken += bytes
    },
    landed(bytes: number) {
      state.landed += bytes
    },
    giveBack(bytes: number, landed: number) {
      state.taken -= bytes
      state.landed -= landed
    },
    kept() {},
  }
  return { room, state }
}

test('a blob of known size takes all of it at once', async () => {
  const { room, state } = roomOf(100)
  const blob = createRoomOfBlob(room, () => 90, 0)
  await Promise.all([blob.reach(10), blob.reach(30)])
  expect([state.taken, blob.reach(90)]).toEqual([90, undefined])
  blob.landed(90)
  expect(state).toEqual({ taken: 90, landed: 90 })
  blob.end()
  blob.end()
  expect(state).toEqual({ taken: 0, landed: 0 })
})

test('what was there before is somebody else’s, and is not taken again', async () => {
  const { room, state } = roomOf(100)
  const blob = createRoomOfBlob(room, () => 90, 60)
  expect(blob.reach(60)).toBeUndefined()
  await blob.reach(61)
  blob.landed(30)
  expect(state).toEqual({ taken: 30, landed: 30 })
  blob.end()
  expect(state).toEqual({ taken: 0, landed: 0 })
})

describe('a blob of unknown size', () => {
  test('takes as much as it needs where there is not much', async () => {
    const { room, state } = roomOf(MiB)
    const blob = createRoomOfBlob(room, () => undefined, 0)
    await blob.reach(1000)
    await blob.reach(MiB)
    await expect(blob.reach(MiB + 1)).rejects.toMatchObject({ code: 'ENOSPC' })
    expect(state.taken).toBe(MiB)
  })

  test('takes more than it needs where there is plenty', async () => {
    const { room, state } = roomOf(100 * MiB)
    const blob = createRoomOfBlob(room, () => undefined, 0)
    await blob.reach(1000)
    expect(blob.reach(MiB)).toBeUndefined()
    expect(state.taken).toBe(16 * MiB)
  })
})
