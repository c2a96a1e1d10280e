import type { Room } from '../fill/room.ts'
import { isDiskFull } from '../flow/disk-trouble.ts'
import { RegistryError } from '../oci/error.ts'

/** Room that files are counted in which nobody is at work on. */
export interface UploadsRoom extends Room {
  /** So many bytes on their way are on the disk already, whether there is room for them or not. */
  found(bytes: number): void
  /** For how many there could be room if nothing else were here. */
  mostBytes(): Promise<number>
}

/** What uploads take that nobody has gone on with for a while. */
export interface IdleUploads {
  readonly bytes: number
  /** Drops those that have been idle for the longest until `bytes` are free. @returns how many are */
  drop(bytes: number): Promise<number>
}

/** Room for the file of an upload: for what is in it, also while nobody goes on with it, and for a little more while it grows. */
export interface UploadRoom {
  /** So many bytes in all are stated. Nothing is taken for a statement. @throws RegistryError `NO_ROOM` when they can never fit */
  expect(bytes: number): Promise<void>
  /** `undefined`: there is room for its first `bytes`. Else resolves when there is. @throws as {@link Room.take} */
  reach(bytes: number): Promise<void> | undefined
  /** So much more of it is on the disk. */
  landed(bytes: number): void
  /** The file has so many bytes, and nothing comes for a while. @param at since when, milliseconds since 1970 */
  rest(bytes: number, at: number): void
  /** Bytes in the file. */
  readonly bytes: number
  readonly restedAt: number
}

/** What is taken ahead of what has come: as much again, but at least and at most so much. */
const leastAheadBytes = 1024 * 1024
const mostAheadBytes = 16 * 1024 * 1024

export function createUploadRoom(room: UploadsRoom): UploadRoom {
  let taken = 0
  let landed = 0
  let expected = Number.POSITIVE_INFINITY
  let restedAt = Number.POSITIVE_INFINITY

  async function take(bytes: number): Promise<void> {
    const ahead = Math.min(Math.max(landed, leastAheadBytes), mostAheadBytes)
    const wanted = Math.max(bytes, Math.min(bytes + ahead, expected))
    try {
      await room.take(wanted - taken)
      taken = wanted
    } catch (error) {
      if (wanted === bytes || !isDiskFull(error)) throw error
      await room.take(bytes - taken)
      taken = bytes
    }
  }
  return {
    async expect(bytes) {
      expected = bytes
      if (bytes <= leastAheadBytes || bytes <= (await room.mostBytes())) return
      throw new RegistryError('NO_ROOM', {
        message: `this site has no room for it: ${bytes} bytes are more than it may keep`,
      })
    },
    reach: (bytes) => (bytes <= taken ? undefined : take(bytes)),
    landed(bytes) {
      landed += bytes
      restedAt = Number.POSITIVE_INFINITY
      room.landed(bytes)
    },
    get bytes() {
      return landed
    },
    get restedAt() {
      return restedAt
    },
    rest(bytes, at) {
      restedAt = at
      room.giveBack(taken, landed)
      room.found(bytes)
      taken = bytes
      landed = bytes
      expected = Number.POSITIVE_INFINITY
    },
  }
}
