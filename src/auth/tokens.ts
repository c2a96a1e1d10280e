import { randomUUID } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK, SignJWT } from 'jose'

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
  readonly keySet: { keys: JWK[] }
}

/** docker takes less than a minute for a minute; five bound how long a right outlives its revocation. */
const lifetimeSeconds = 300
/** Clocks of clients and sites differ; `nbf` equal to `iat` has broken pulls elsewhere. */
const leewaySeconds = 60
const algorithm = 'ES256'

/**
 * Signs with the key in `keyFile`, made at the first start.
 * @param site the name of this site, both issuer and audience
 * @throws naming the file when it holds no key
 */
export async function openTokens(
  keyFile: string,
  site: string,
  now: () => Date = () => new Date(),
): Promise<Tokens> {
  const jwk = await readKey(keyFile)
  const key = await importJWK(jwk, algorithm)
  const { d: _, ...publicKey } = jwk
  const kid = await calculateJwkThumbprint(publicKey)
  return {
    keySet: { keys: [{ ...publicKey, kid, alg: algorithm, use: 'sig' }] },
    async issue(subject, access) {
      const issuedAt = now()
      const iat = Math.floor(issuedAt.getTime() / 1000)
      const token = await new SignJWT({ access: [...access] })
        .setProtectedHeader({ alg: algorithm, typ: 'JWT', kid })
        .setIssuer(site)
        .setAudience(site)
        .setSubject(subject)
        .setIssuedAt(iat)
        .setNotBefore(iat - leewaySeconds)
        .setExpirationTime(iat + lifetimeSeconds)
        .setJti(randomUUID())
        .sign(key)
      return { token, expiresInSeconds: lifetimeSeconds, issuedAt }
    },
  }
}

async function readKey(file: string): Promise<JWK> {
  try {
    return JSON.parse(await readFile(file, 'utf8'))
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'ENOENT')) {
      throw new Error(`${file} holds no key: move it away for a new one`, { cause })
    }
  }
  const { privateKey } = await generateKeyPair(algorithm, { extractable: true })
  const jwk = await exportJWK(privateKey)
  await writeFile(file, JSON.stringify(jwk), { mode: 0o600, flag: 'wx' })
  return jwk
}
