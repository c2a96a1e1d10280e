import type { Digest } from '../oci/digest.ts'

/** Where fetched blobs are kept, which holds only so much. */
export interface Room {
  /**
   * Takes room for `bytes` more, which is made where there is none.
   * @throws an error with the code `ENOSPC` when it cannot be made
   */
  take(bytes: number): Promise<void>
  /** What was to be kept in it is not. */
  giveBack(bytes: number): void
  /** `size` bytes are kept in room that was taken for them. Never throws. */
  kept(digest: Digest, size: number): void
}

/** The room of one blob that grows. */
export interface RoomOfBlob {
  /** `undefined`: there is room for its first `bytes`. Else resolves when there is. @throws as {@link Room.take} */
  reach(bytes: number): Promise<void> | undefined
  /** It is kept. */
  settle(digest: Digest, size: number): void
  /** Nothing of it needs room any more, unless it is kept. */
  end(): void
}

/** What is taken at a time for a blob whose size nobody has said. */
const stepBytes = 16 * 1024 * 1024

export function createRoomOfBlob(room: Room, sizeOf: () => number | undefined): RoomOfBlob {
  let taken = 0
  let taking: Promise<void> = Promise.resolve()

  async function take(bytes: number): Promise<void> {
    if (bytes <= taken) return
    const wanted = sizeOf() ?? Math.ceil(bytes / stepBytes) * stepBytes
    const more = Math.max(wanted, bytes) - taken
    await room.take(more)
    taken += more
  }
  return {
    reach(bytes) {
      if (bytes <= taken) return undefined
      // One after another, so that writes side by side do not take twice; who fails fails alone.
      const turn = taking.then(() => take(bytes))
      taking = turn.catch(() => {})
      return turn
    },
    settle(digest, size) {
      if (taken !== size) room.giveBack(taken - size)
      taken = 0
      room.kept(digest, size)
    },
    end() {
      if (taken > 0) room.giveBack(taken)
      taken = 0
    },
  }
}
