import { createHash, randomUUID } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import type { JWK } from 'jose'
import { LRUCache } from 'lru-cache'
import * as z from 'zod'
import { errorCodeOf } from '../flow/error-code.ts'

/** What a token says its bearer may do: the `access` claim of the Docker token protocol. */
export interface Access {
  type: string
  name: string
  actions: string[]
}

export interface IssuedToken {
  token: string
  expiresInSeconds: number
  issuedAt: Date
}

/** A token that this site has signed and that is valid now. */
export interface ReadToken {
  /** `''` for anonymous. */
  subject: string
  access: readonly Access[]
}

export interface Tokens {
  /** @param subject `''` for anonymous */
  issue(subject: string, access: readonly Access[]): Promise<IssuedToken>
  /** `undefined` for anything but a valid token of this site. */
  read(token: string): Promise<ReadToken | undefined>
  /** The public keys, as `/.well-known/jwks.json` gives them. */
  keySet(): Promise<{ keys: JWK[] }>
}

/** docker takes less than a minute for a minute; five bound how long a right outlives its revocation. */
const lifetimeSeconds = 300
/** Clocks of clients and sites differ; `nbf` equal to `iat` has broken pulls elsewhere. */
const leewaySeconds = 60
const algorithm = 'ES256'
/** Others are refused unread: a client's are a few hundred bytes. */
const maxTokenBytes = 16 * 1024
const mostKnown = 1000

const accessShape = z
  .array(z.object({ type: z.string(), name: z.string(), actions: z.array(z.string()) }))
  .max(64)

/**
 * Signs with the key in `keyFile`, made when the first token is asked for: most sites never are.
 * @param site the name of this site, both issuer and audience
 */
export function createTokens(keyFile: string, site: string, now: () => Date = () => new Date()): Tokens {
  let opened: Promise<Signer> | undefined
  const signer = () => {
    opened ??= openSigner(keyFile, site).catch((error: unknown) => {
      opened = undefined
      throw error
    })
    return opened
  }
  /** Those that were valid when they were read, by their hash: a client shows the same one again and again. */
  const known = new LRUCache<string, { read: ReadToken; until: number }>({ max: mostKnown })

  return {
    async read(token) {
      if (token.length > maxTokenBytes) return undefined
      const key = createHash('sha256').update(token).digest('base64')
      const seconds = Math.floor(now().getTime() / 1000)
      const found = known.get(key)
      if (found) return seconds < found.until ? found.read : undefined
      const verified = await (await signer()).verify(token, now())
      if (verified) known.set(key, verified)
      return verified?.read
    },
    async keySet() {
      return { keys: [(await signer()).publicKey] }
    },
    async issue(subject, access) {
      const issuedAt = now()
      const { sign } = await signer()
      return { token: await sign(subject, access, issuedAt), expiresInSeconds: lifetimeSeconds, issuedAt }
    },
  }
}

interface Signer {
  publicKey: JWK
  sign(subject: string, access: readonly Access[], issuedAt: Date): Promise<string>
  /** `until`: seconds since 1970. */
  verify(token: string, at: Date): Promise<{ read: ReadToken; until: number } | undefined>
}

async function openSigner(keyFile: string, site: string): Promise<Signer> {
  const { calculateJwkThumbprint, errors, importJWK, jwtVerify, SignJWT } = await import('jose')
  const jwk = await readKey(keyFile)
  const key = await importJWK(jwk, algorithm)
  const { d: _, ...publicKey } = jwk
  const kid = await calculateJwkThumbprint(publicKey)
  const publicOnly = await importJWK(publicKey, algorithm)
  return {
    publicKey: { ...publicKey, kid, alg: algorithm, use: 'sig' },
    sign(subject, access, issuedAt) {
      const iat = Math.floor(issuedAt.getTime() / 1000)
      return new SignJWT({ access: [...access] })
        .setProtectedHeader({ alg: algorithm, typ: 'JWT', kid })
        .setIssuer(site)
        .setAudience(site)
        .setSubject(subject)
        .setIssuedAt(iat)
        .setNotBefore(iat - leewaySeconds)
        .setExpirationTime(iat + lifetimeSeconds)
        .setJti(randomUUID())
        .sign(key)
    },
    async verify(token, currentDate) {
      try {
        // What its head says of keys is never looked at: there is the one.
        const { payload } = await jwtVerify(token, publicOnly, {
          algorithms: [algorithm],
          issuer: site,
          audience: site,
          typ: 'JWT',
          currentDate,
          clockTolerance: leewaySeconds,
          requiredClaims: ['exp', 'iat', 'nbf', 'jti', 'sub', 'access'],
          maxTokenAge: lifetimeSeconds,
        })
        const access = accessShape.safeParse(payload.access)
        if (!access.success || payload.aud !== site) return undefined
        return {
          read: { subject: String(payload.sub), access: access.data },
          until: Number(payload.exp) + leewaySeconds,
        }
      } catch (error) {
        if (error instanceof errors.JOSEError || error instanceof TypeError) return undefined
        throw error
      }
    },
  }
}

/** @throws naming the file when it holds no key */
async function readKey(file: string): Promise<JWK> {
  try {
    return JSON.parse(await readFile(file, 'utf8'))
  } catch (cause) {
    if (errorCodeOf(cause) !== 'ENOENT') {
      throw new Error(`${file} holds no key: move it away for a new one`, { cause })
    }
  }
  const { exportJWK, generateKeyPair } = await import('jose')
  const { privateKey } = await generateKeyPair(algorithm, { extractable: true })
  const jwk = await exportJWK(privateKey)
  await writeFile(file, JSON.stringify(jwk), { mode: 0o600, flag: 'wx' })
  return jwk
}
