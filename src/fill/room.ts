import { isDiskFull } from '../flow/disk-trouble.ts'
import { createTurns } from '../flow/turns.ts'

/** Where fetched blobs are kept, which holds only so much. */
export interface Room {
  /**
   * Takes room for `bytes` more, which is made where there is none.
   * @throws an error with the code `ENOSPC` when it cannot be made
   */
  take(bytes: number): Promise<void>
  /** So many of the bytes that room was taken for are on the disk. */
  landed(bytes: number): void
  /** Of what was taken, `bytes` are needed no more, `landed` of which were on the disk. */
  giveBack(bytes: number, landed: number): void
  /** A blob of so many bytes was noted as stored; what was taken for it has just been given back. */
  kept(bytes: number): void
}

/** The room of one blob that grows. */
export interface RoomOfBlob {
  /** `undefined`: there is room for its first `bytes`. Else resolves when there is. @throws as {@link Room.take} */
  reach(bytes: number): Promise<void> | undefined
  /** So much more of it is on the disk. */
  landed(bytes: number): void
  /** What was taken is given back. */
  end(): void
}

/** What is taken at a time for a blob whose size nobody has said. */
const stepBytes = 16 * 1024 * 1024

/** @param there so many bytes of it were on the disk before, for which somebody else answers */
export function createRoomOfBlob(room: Room, sizeOf: () => number | undefined, there: number): RoomOfBlob {
  let taken = there
  let landed = 0
  // One after another, so that writes side by side do not take twice; who fails fails alone.
  const turns = createTurns()

  async function take(bytes: number): Promise<void> {
    if (bytes <= taken) return
    const size = sizeOf()
    const wanted = Math.max(bytes, size ?? Math.ceil(bytes / stepBytes) * stepBytes)
    try {
      await room.take(wanted - taken)
      taken = wanted
    } catch (error) {
      if (size !== undefined || wanted === bytes || !isDiskFull(error)) throw error
      await room.take(bytes - taken)
      taken = bytes
    }
  }
  return {
    reach(bytes) {
      if (bytes <= taken) return undefined
      return turns.take(() => take(bytes))
    },
    landed(bytes) {
      landed += bytes
      room.landed(bytes)
    },
    end() {
      room.giveBack(taken - there, landed)
      taken = there
      landed = 0
    },
  }
}
