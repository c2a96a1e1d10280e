import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'

const derive = promisify<string, Buffer, number, ScryptOptions, Buffer>(scrypt)

/** OWASP, "Password Storage Cheat Sheet": as strong as N=2^17 with p=1, in an eighth of its memory (16 MiB). */
const cost = { N: 2 ** 14, r: 8, p: 5 }
const keyBytes = 32

const grammar = /^\$scrypt\$([A-Za-z0-9+/]{22}==)\$([A-Za-z0-9+/]{43}=)$/

export function isScrypt(verifier: string): boolean {
  return grammar.test(verifier)
}

/** What a password is known by: not to be turned back. */
export async function scryptOf(password: string): Promise<string> {
  const salt = randomBytes(16)
  const key = await derive(password.normalize(), salt, keyBytes, cost)
  return `$scrypt$${salt.toString('base64')}$${key.toString('base64')}`
}

export async function matchesScrypt(password: string, verifier: string): Promise<boolean> {
  const [, salt = '', key = ''] = grammar.exec(verifier) ?? []
  const derived = await derive(password.normalize(), Buffer.from(salt, 'base64'), keyBytes, cost)
  const known = Buffer.from(key, 'base64')
  return known.length === derived.length && timingSafeEqual(known, derived)
}
