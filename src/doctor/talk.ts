import { Agent } from 'node:http'
import { Agent as TlsAgent } from 'node:https'
import { arch } from 'node:os'
import type { SecureContext } from 'node:tls'
import { messageOf } from '../flow/message-of.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { type Manifest, parseManifest } from '../oci/manifest.ts'
import type { Client, Headers, Talk } from './clients/client.ts'
import type { Credential } from './credentials.ts'
import type { Mistake } from './findings.ts'
import type { TriedImage } from './image.ts'
import { type LogInOptions, logIn } from './log-in.ts'
import { blobMistake, isRedirect, rangeMistake } from './verdicts/blob.ts'
import { challengedMirror } from './verdicts/challenge.ts'
import { connectionMistake } from './verdicts/connection.ts'
import { headMistake, manifestMistake } from './verdicts/manifest.ts'
import { pingMistake, versionMistake } from './verdicts/ping.ts'
import type { Asked } from './verdicts/status.ts'
import { type Answer, type Endpoint, exchange, type Limits, type Sent } from './wire/exchange.ts'
import { failureOf, WireFailure } from './wire/failure.ts'

/** The first thing that is wrong, and at which kind of request it was. */
export class MistakeFound extends Error {
  override readonly name = 'MistakeFound'
  readonly mistake: Mistake
  readonly stage: keyof Client['consequences']

  constructor(mistake: Mistake, stage: keyof Client['consequences']) {
    super(mistake.what)
    this.mistake = mistake
    this.stage = stage
  }
}

export interface TalkOptions {
  client: Client
  endpoint: Endpoint
  image: TriedImage | undefined
  trust: SecureContext
  credential: Credential | undefined
  limits: Limits
  signal: AbortSignal
}

/** What nobody mirrors: RFC 6761 §6.4. */
const unheardOf = 'registry.invalid'

const fatal: readonly Mistake['code'][] = ['digest-wrong', 'encoded', 'media-type-wrong', 'captive-portal']

/** One client's connection to a door. Disposing it closes what it keeps open. */
export function openTalk(options: TalkOptions): Talk & Disposable {
  const { client, image } = options
  const line = createLine(options)
  const pathOf = (kind: 'manifests' | 'blobs', reference: string) => {
    const { name = '', path = '', registry = '' } = image ?? {}
    const query = client.form === 'ns' ? `?ns=${registry}` : ''
    return `/v2/${client.form === 'path' ? path : name}/${kind}/${reference}${query}`
  }
  const ask = (method: Sent['method'], path: string, headers: Headers, stage: Asked) =>
    line.ask({ method, path, headers: { 'user-agent': client.userAgent, ...headers } }, stage)

  return {
    async ping(headers = {}) {
      const { answer, isChallenged } = await ask('GET', '/v2/', headers, 'ping')
      refuse(isChallenged ? versionMistake(answer) : pingMistake(answer), 'ping')
    },
    async head(headers) {
      const path = pathOf('manifests', image?.reference ?? '')
      const { answer } = await ask('HEAD', path, headers, 'manifest')
      refuse(headMistake(`HEAD ${path}`, answer), 'manifest')
      return answer.headers['docker-content-digest'] as Digest
    },
    async manifest(headers, digest) {
      const own = image?.reference ?? ''
      const path = pathOf('manifests', digest ?? own)
      const { answer } = await ask('GET', path, headers, 'manifest')
      refuse(manifestMistake(`GET ${path}`, digest ?? (isDigest(own) ? own : undefined), answer), 'manifest')
      return readManifest(path, answer)
    },
    childOf: ({ manifests }) => manifests.find(({ platform }) => isForHere(platform)) ?? manifests[0],
    async blob({ digest }, headers) {
      const path = pathOf('blobs', digest)
      const { answer } = await ask('GET', path, headers, 'blob')
      refuse(blobMistake(`GET ${path}`, digest, answer), 'blob')
      return isRedirect(answer) ? Buffer.alloc(0) : answer.body
    },
    async resume({ digest }, whole, headers) {
      if (whole.length < 2) return
      const path = pathOf('blobs', digest)
      const from = whole.length >> 1
      const { answer } = await ask('GET', path, { ...headers, range: `bytes=${from}-` }, 'blob')
      refuse(rangeMistake(`GET ${path} with Range: bytes=${from}-`, whole, from, answer), 'blob')
    },
    async unknownRegistry(headers) {
      const path = `/v2/outport-doctor/manifests/latest?ns=${unheardOf}`
      const { answer } = await ask('HEAD', path, headers, 'manifest')
      if (answer.status !== 404) refuse(headMistake(`HEAD ${path}`, answer), 'manifest')
    },
    [Symbol.dispose]: () => line.close(),
  }
}

interface Line {
  /** @throws MistakeFound when there is no answer, or one that this client would not take */
  ask(sent: Sent, stage: Asked): Promise<{ answer: Answer; isChallenged: boolean }>
  close(): void
}

function createLine(options: TalkOptions): Line {
  const { client, endpoint, trust, limits, signal, credential } = options
  const kept = { keepAlive: true, maxSockets: 1 }
  const keeping = endpoint.url.protocol === 'https:' ? new TlsAgent(kept) : new Agent(kept)
  const agent = client.closes ? (false as const) : keeping
  let authorization: string | undefined

  async function send(sent: Sent, stage: Asked): Promise<Answer> {
    const headers = authorization === undefined ? sent.headers : { ...sent.headers, authorization }
    try {
      return await exchange(endpoint, { ...sent, headers }, { trust, agent, limits }, signal)
    } catch (error) {
      signal.throwIfAborted()
      const failure = error instanceof WireFailure ? error : failureOf(error)
      throw new MistakeFound(connectionMistake(endpoint.url, failure, limits), stage)
    }
  }
  return {
    async ask(sent, stage) {
      const answer = await send(sent, stage)
      if (answer.status !== 401) return { answer, isChallenged: false }
      const what = `${sent.method} ${sent.path}`
      if (!client.logsIn) throw new MistakeFound(challengedMirror(what, answer), stage)
      const common: LogInOptions = { what, answer, endpoint, trust, credential, limits, signal }
      const { authorization: shown, mistake } = await logIn({ ...common, repository: options.image?.path })
      refuse(mistake, stage)
      // Nobody in particular is let in by nothing but the answer to the next question.
      if (shown === undefined) return { answer, isChallenged: true }
      authorization = shown
      const again = await send(sent, stage)
      if (again.status === 401) refuse(refusedLogin(what, credential), stage)
      return { answer: again, isChallenged: false }
    },
    close: () => keeping.destroy(),
  }
}

function refusedLogin(what: string, credential: Credential | undefined): Mistake {
  const who = credential ? `${credential.username}, as ${credential.file} has it,` : 'nobody in particular'
  return {
    code: 'credentials-refused',
    what: `${what}: 401 again after the login: ${who} may not have this`,
    advice: credential ? 'log in again' : 'log in: `podman login`, `docker login`, `crane auth login`',
  }
}

function refuse(mistake: Mistake | undefined, asked: Asked): void {
  if (mistake) throw new MistakeFound(mistake, fatal.includes(mistake.code) ? 'content' : asked)
}

function readManifest(path: string, { body, headers }: Answer): Manifest {
  try {
    return parseManifest(body, headers['content-type'])
  } catch (error) {
    const what = `GET ${path}: ${messageOf(error)}`
    const advice = 'the image is broken at its registry, or a proxy on the way changes what passes'
    throw new MistakeFound({ code: 'media-type-wrong', what, advice }, 'content')
  }
}

function isForHere(platform: { os: string; architecture: string } | undefined): boolean {
  const here = { x64: 'amd64', ia32: '386' }[arch() as string] ?? arch()
  return platform?.os === 'linux' && platform.architecture === here
}
