import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { startDaemon } from '../clients/support/command.ts'
import { freshLoopbackAddress } from '../clients/support/loopback.ts'
import { createAuthority } from '../support/certificates.ts'
import { mirrorPolicies, startEdge } from '../support/edge.ts'
import { fetchBlob } from '../support/fetch-blob.ts'
import { buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { describeWith, toolPath } from '../support/tools.ts'
import { startUpstream } from '../support/upstream.ts'

const example = join(import.meta.dirname, '../../deploy/nginx/outport.conf')
const image = buildImage({ layers: [5000, 9_000_000], seed: 'nginx', compression: 'none' })
const authority = createAuthority()

describeWith(['nginx'], 'behind nginx', () => {
  test('pulls go through, uncopied, and logins come back to the address that clients know', async () => {
    await using upstream = await startUpstream()
    upstream.addImage('library/app', '1', image)
    const address = freshLoopbackAddress()
    const publicUrl = `https://${address}`
    const more = [{ kind: 'project', name: 'team', proxy: { registry: 'upstream', path: 'team' } }]
    await using edge = await startEdge({
      policies: mirrorPolicies(upstream, { more }),
      env: { OUTPORT_PUBLIC_URL: publicUrl, OUTPORT_MIRROR_LISTEN: 'off' },
    })
    await using folder = await temporaryDirectory()
    const config = await writeConfig(folder.path, { address, backend: edge.host })
    await promisify(execFile)(toolPath('nginx'), ['-t', '-e', 'stderr', '-p', folder.path, '-c', config])
    const ask = (path: string) => fetchBlob(`${publicUrl}${path}`, { ca: authority.ca })
    await using _nginx = await startDaemon(
      toolPath('nginx'),
      ['-e', 'stderr', '-p', folder.path, '-c', config],
      {
        ready: () => ask('/livez'),
      },
    )

    await pull(publicUrl, 'docker.io/library/app', '1', { ca: authority.ca })
    const challenge = (await ask('/v2/')).headers['www-authenticate']
    expect(challenge).toContain(`realm="${publicUrl}/service/token"`)
    expect((await ask('/metrics')).status).toBe(404)
    expect(await readdir(join(folder.path, 'proxy'), { recursive: true })).toEqual([])
  })
})

/** The example with this machine's ports and files, in as little of nginx as it can stand in. */
async function writeConfig(
  folder: string,
  { address, backend }: { address: string; backend: string },
): Promise<string> {
  const { cert, key } = authority.issue({ names: [address] })
  await mkdir(join(folder, 'proxy'))
  await writeFile(join(folder, 'outport.pem'), cert)
  await writeFile(join(folder, 'outport.key'), key)
  const site = (await readFile(example, 'utf8'))
    .replace('listen 443 ssl', `listen ${address}:443 ssl`)
    .replace('server_name edge.example', `server_name ${address}`)
    .replace('server 127.0.0.1:5000', `server ${backend}`)
    .replaceAll('/etc/ssl/', `${folder}/`)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${join(folder, kind)};`)
    .join(' ')
  const config = join(folder, 'nginx.conf')
  await writeFile(
    config,
    `daemon off;\nmaster_process off;\npid ${folder}/pid;\nevents {}\nhttp {\naccess_log off;\n${temporary}\n${site}}\n`,
  )
  return config
}
