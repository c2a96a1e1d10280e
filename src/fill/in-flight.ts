/** What connections hold of what they bring until it is on the disk, divided among all that bring something. */
export interface InFlight {
  enter(): Share
  /** Of what is on the disk already and kept for readers, who may be slow. */
  readonly loans: Loans
}

export interface Loans {
  /** @returns whether so many bytes more may be lent */
  take(bytes: number): boolean
  giveBack(bytes: number): void
}

export interface Share extends Disposable {
  /** So much may wait now. */
  readonly bytes: number
}

/** Few and large writes are cheapest. */
const mostBytes = 1024 * 1024
/** Less would be a write for each chunk. */
const leastBytes = 128 * 1024

/** @param allBytes of all shares together, as far as each has the least */
export function createInFlight(allBytes: number): InFlight {
  let count = 0
  let lent = 0
  return {
    loans: {
      take(bytes) {
        if (lent + bytes > allBytes / 2) return false
        lent += bytes
        return true
      },
      giveBack(bytes) {
        lent -= bytes
      },
    },
    enter() {
      count += 1
      return {
        get bytes() {
          return Math.min(mostBytes, Math.max(leastBytes, allBytes / count))
        },
        [Symbol.dispose]() {
          count -= 1
        },
      }
    },
  }
}
