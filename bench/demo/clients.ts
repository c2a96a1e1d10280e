import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { pull } from '../../test/support/pull.ts'
import { temporaryDirectory } from '../../test/support/temporary.ts'

/** Something that pulls images. Each pull starts with nothing and keeps nothing. */
export interface PullClient {
  /** With its version. */
  readonly name: string
  /** Many pulls at once are as many clients, and not one that shares what it fetches. */
  readonly isAlone: boolean
  /** @returns the digest of the manifest, when all of the image is here and has proven right. */
  pull(image: ImageName, signal: AbortSignal): Promise<string>
}

export interface ImageName {
  /** `address:port`, plain HTTP. */
  host: string
  repository: string
  tag: string
}

type Pull = PullClient['pull']

const run = promisify(execFile)
const skopeo: Pull = async (image, signal) => {
  await using folder = await temporaryDirectory()
  const digest = join(folder.path, 'digest')
  const options = ['--insecure-policy', 'copy', '--quiet', '--src-tls-verify=false', '--digestfile', digest]
  await run('skopeo', [...options, `docker://${textOf(image)}`, `dir:${join(folder.path, 'image')}`], {
    signal,
  })
  return (await readFile(digest, 'utf8')).trim()
}

const podman: Pull = async (image, signal) => {
  await using folder = await temporaryDirectory()
  const store = [
    '--root',
    join(folder.path, 'root'),
    '--runroot',
    join(folder.path, 'run'),
    '--storage-driver',
    'vfs',
  ]
  await run('podman', [...store, 'pull', '--quiet', '--tls-verify=false', textOf(image)], { signal })
  const inspect = ['image', 'inspect', '--format', '{{.Digest}}', textOf(image)]
  return (await run('podman', [...store, ...inspect], { signal })).stdout.trim()
}

/** Docker takes plain HTTP from loopback addresses without a setting. */
const docker: Pull = async (image, signal) => {
  await run('docker', ['pull', '--quiet', textOf(image)], { signal })
  try {
    const inspect = ['image', 'inspect', '--format', '{{index .RepoDigests 0}}', textOf(image)]
    const { stdout } = await run('docker', inspect, { signal })
    return stdout.trim().replace(/^.*@/, '')
  } finally {
    await run('docker', ['image', 'rm', textOf(image)])
  }
}

export const ownClient: PullClient = {
  name: 'our own pulling client',
  isAlone: true,
  async pull({ host, repository, tag }, signal) {
    const { digest } = await pull(`http://${host}`, repository, tag, { signal })
    return digest
  },
}

const candidates = [
  { command: 'skopeo', pull: skopeo, isAlone: true },
  { command: 'podman', pull: podman, isAlone: true },
  { command: 'docker', pull: docker, isAlone: false },
]

/** The first of skopeo, podman and docker that is here and can pull `probe`, else our own. */
export async function findClient(probe: ImageName, signal: AbortSignal): Promise<PullClient> {
  for (const { command, ...client } of candidates) {
    try {
      const { stdout } = await run(command, ['--version'], { signal })
      await client.pull(probe, signal)
      return { ...client, name: stdout.trim().split('\n')[0] ?? command }
    } catch (error) {
      if (signal.aborted) throw error
    }
  }
  return ownClient
}

function textOf({ host, repository, tag }: ImageName): string {
  return `${host}/${repository}:${tag}`
}
