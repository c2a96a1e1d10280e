import type { BigIntStats } from 'node:fs'

/** What of a file changes when somebody writes to it or puts another in its place. */
export type Identity = Pick<BigIntStats, 'ino' | 'size' | 'mtimeNs' | 'ctimeNs'>

export function identityOf({ ino, size, mtimeNs, ctimeNs }: Identity): Identity {
  return { ino, size, mtimeNs, ctimeNs }
}

/** Nobody has touched it since: its change time cannot be set by who edits it. */
export function isSame(one: Identity, other: Identity): boolean {
  return one.ino === other.ino && one.ctimeNs === other.ctimeNs && isUnwritten(one, other)
}

/** The bytes of an open file are as they were; it may have lost or changed its name, which its change time tells, too. */
export function isUnwritten(one: Identity, other: Identity): boolean {
  return one.size === other.size && one.mtimeNs === other.mtimeNs
}
