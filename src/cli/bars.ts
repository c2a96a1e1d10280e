import type { WriteStream } from 'node:tty'

/** Lines at the foot of a terminal that are drawn again in their place. */
export interface Bars {
  draw(lines: readonly string[]): void
  /** Before anything else is printed. */
  clear(): void
}

/** Nothing where there is no terminal. */
export function createBars(stream: WriteStream): Bars {
  let drawn = 0
  // ECMA-48: CPL and ED.
  const back = () => (drawn === 0 ? '' : `\u001b[${drawn}F\u001b[J`)
  return {
    draw(lines) {
      if (!stream.isTTY) return
      stream.write(`${back()}${lines.map((line) => `${line}\n`).join('')}`)
      drawn = lines.length
    },
    clear() {
      if (stream.isTTY) stream.write(back())
      drawn = 0
    },
  }
}
