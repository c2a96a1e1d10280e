import { randomInt } from 'node:crypto'

/** An address of this machine that nobody else uses, so that well-known ports (443, 5000) are free on it. */
export function freshLoopbackAddress(): string {
  return `127.${randomInt(1, 255)}.${randomInt(0, 255)}.${randomInt(2, 255)}`
}
