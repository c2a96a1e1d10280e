/** The first bytes say more of round trips than of the line. On a slow one, time tells enough. */
const tellingBytes = 1024 * 1024
const tellingMs = 120

/** How fast one of several connections is, on the average of all that have been open. */
export interface ConnectionRate {
  opened(): void
  closed(): void
  arrived(bytes: number): void
  /** Bytes a second; `undefined` until enough have come. */
  current(): number | undefined
}

export function createConnectionRate(now: () => number = () => performance.now()): ConnectionRate {
  let bytes = 0
  let openMs = 0
  let count = 0
  let since = now()

  function account(): void {
    openMs += count * (now() - since)
    since = now()
  }
  return {
    opened() {
      account()
      count += 1
    },
    closed() {
      account()
      count -= 1
    },
    arrived(more) {
      bytes += more
    },
    current() {
      account()
      const isTelling = bytes >= tellingBytes || (bytes > 0 && openMs >= tellingMs)
      return isTelling && openMs > 0 ? (bytes * 1000) / openMs : undefined
    },
  }
}
