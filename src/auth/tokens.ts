import { randomUUID } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import type { JWK } from 'jose'
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

export interface Tokens {
  /** @param subject `''` for anonymous */
  issue(subject: string, access: readonly Access[]): Promise<IssuedToken>
  /** The public keys, as `/.well-known/jwks.json` gives them. */
  keySet(): Promise<{ keys: JWK[] }>
}

/** docker takes less than a minute for a minute; five bound how long a right outlives its revocation. */
const lifetimeSeconds = 300
/** Clocks of clients and sites differ; `nbf` equal to `iat` has broken pulls elsewhere. */
const leewaySeconds = 60
const algorithm = 'ES256'

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
  return {
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
}

async function openSigner(keyFile: string, site: string): Promise<Signer> {
  const { calculateJwkThumbprint, importJWK, SignJWT } = await import('jose')
  const jwk = await readKey(keyFile)
  const key = await importJWK(jwk, algorithm)
  const { d: _, ...publicKey } = jwk
  const kid = await calculateJwkThumbprint(publicKey)
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
