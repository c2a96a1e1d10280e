import { createHmac, randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import { createSingleFlight } from '../flow/single-flight.ts'
import { createSlots } from '../flow/slots.ts'
import { createTurns, type Turns } from '../flow/turns.ts'
import { RegistryError } from '../oci/error.ts'
import { type Administrator, administratorName } from './administrator.ts'
import { createBcrypt } from './bcrypt.ts'
import type { HtpasswdFile } from './htpasswd.ts'
import { isScrypt, matchesScrypt } from './scrypt.ts'

/** Who has a password here. */
export interface Accounts extends AsyncDisposable {
  has(name: string): Promise<boolean>
  /**
   * Whether it is that user's password. A wrong one is answered after a second, whether there is such a user or not.
   * @param address of the client, or its network: what one tries keeps no other waiting
   * @throws RegistryError `TOOMANYREQUESTS`
   */
  verify(name: string, password: string, address: string): Promise<boolean>
}

export interface AccountsOptions {
  administrator: Administrator
  htpasswd: HtpasswdFile | undefined
  /** Milliseconds until a wrong password is called so. */
  failureMs?: number
}

/** A right pair is known again for so long. */
const rememberedMs = 60_000
const mostRemembered = 10_000
/** Passwords that are hashed at a time: the disk needs threads, too. */
const mostHashing = 2
/** That one client may have waiting for one name. */
const mostWaiting = 8

export function createAccounts({ administrator, htpasswd, failureMs = 1000 }: AccountsOptions): Accounts {
  const secret = randomBytes(32)
  const remembered = new LRUCache<string, true>({ max: mostRemembered, ttl: rememberedMs })
  const checking = createSingleFlight<boolean>()
  const slots = createSlots(mostHashing)
  const queues = new Map<string, { turns: Turns; count: number }>()
  const bcrypt = createBcrypt()
  const lifetime = new AbortController()

  async function verifierOf(name: string): Promise<string | undefined> {
    return name === administratorName ? administrator.verifier() : (await htpasswd?.current())?.get(name)
  }
  /** The verifier is part of it: a new password makes the old one unknown. */
  function keyOf(...parts: string[]): string {
    return createHmac('sha256', secret).update(JSON.stringify(parts)).digest('base64')
  }

  /**
   * One after another for each client and name, and few at a time for all of them. A wrong one counts until it is answered,
   * and so does one for a name that nobody has: who is told to wait has not learnt whether there is such a user.
   */
  async function inTurn(
    queue: string,
    work: (() => Promise<boolean>) | undefined,
    failsAt: number,
  ): Promise<boolean> {
    const { turns, count } = queues.get(queue) ?? { turns: createTurns(), count: 0 }
    if (count >= mostWaiting) throw new RegistryError('TOOMANYREQUESTS', { headers: { 'retry-after': '2' } })
    queues.set(queue, { turns, count: count + 1 })
    try {
      const isRight =
        work !== undefined &&
        (await turns.take(async () => {
          const release = await slots.acquire(lifetime.signal)
          return work().finally(release)
        }))
      if (!isRight) await delay(Math.max(0, failsAt - performance.now()), undefined, { ref: false })
      return isRight
    } finally {
      const left = (queues.get(queue)?.count ?? 1) - 1
      if (left > 0) queues.set(queue, { turns, count: left })
      else queues.delete(queue)
    }
  }

  function check(verifier: string, password: string): Promise<boolean> {
    return isScrypt(verifier) ? matchesScrypt(password, verifier) : bcrypt.matches(password, verifier)
  }

  return {
    has: async (name) => (await verifierOf(name)) !== undefined,
    async verify(name, password, address) {
      const failsAt = performance.now() + failureMs
      const verifier = await verifierOf(name)
      const key = keyOf(name, verifier ?? '', password)
      if (remembered.has(key)) return true
      const work = verifier === undefined ? undefined : () => check(verifier, password)
      const isRight = await checking(key, () => inTurn(`${address} ${name}`, work, failsAt))
      if (isRight) remembered.set(key, true)
      else await delay(Math.max(0, failsAt - performance.now()), undefined, { ref: false })
      return isRight
    },
    async [Symbol.asyncDispose]() {
      lifetime.abort(new Error('the node is stopping'))
      await bcrypt[Symbol.asyncDispose]()
    },
  }
}
