import type { Authority } from '../../support/certificates.ts'
import { freshLoopbackAddress } from './loopback.ts'
import { type Intercepted, type Recorded, type Recorder, startRecorder } from './recorder.ts'

/** Docker Hub's hosts and GitHub's, as far as a pull sees them, on one TLS address of this machine. */
export interface Hub extends Recorder {
  /** For a machine's /etc/hosts. */
  readonly names: Record<string, string>
}

export const account = {
  user: 'alice',
  password: 'the password of alice',
  refreshToken: 'the-refresh-token-of-alice',
}
const accessToken = 'an-access-token'

const hosts = ['registry-1.docker.io', 'auth.docker.io', 'index.docker.io', 'ghcr.io']

/** Serves what `registry` holds to whoever fetches a token first, as Docker Hub does. */
export async function startHub(registry: URL, authority: Authority): Promise<Hub> {
  const address = freshLoopbackAddress()
  const recorder = await startRecorder({
    target: registry,
    address,
    port: 443,
    tls: authority.issue({ names: hosts }),
    intercept: answer,
  })
  return { ...recorder, names: Object.fromEntries(hosts.map((host) => [host, address])) }
}

function answer({ host, url, headers }: Recorded): Intercepted | undefined {
  if (host === 'auth.docker.io') {
    const body = {
      token: accessToken,
      access_token: accessToken,
      refresh_token: account.refreshToken,
      expires_in: 300,
    }
    return { status: 200, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }
  }
  if (headers.authorization === `Bearer ${accessToken}`) return undefined
  const [, name] = /^\/v2\/(.+)\/(?:manifests|blobs|tags)\//.exec(url) ?? []
  const scope = name === undefined ? '' : `,scope="repository:${name}:pull"`
  return {
    status: 401,
    headers: {
      'Content-Type': 'application/json',
      'WWW-Authenticate': `Bearer realm="https://auth.docker.io/token",service="registry.docker.io"${scope}`,
    },
    body: '{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}',
  }
}
