import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { type Docker, startDockerd } from '../clients/support/docker.ts'
import { type Machine, startMachine } from '../clients/support/machine.ts'
import { mirrorPolicies } from '../support/edge.ts'
import { buildImage } from '../support/images.ts'
import { type Installed, installPacked } from '../support/packed.ts'
import { pull } from '../support/pull.ts'
import { describeWith } from '../support/tools.ts'
import { startUpstream } from '../support/upstream.ts'
import { makeBaseFiles } from './support/base-image.ts'

const files = join(import.meta.dirname, '../../deploy/docker')
const image = buildImage({ layers: [5000, 400_000], seed: 'docker' })

describeWith(
  ['docker', 'dockerd (old)', 'containerd (old)', 'runc', 'namespaces', 'tar'],
  'the image',
  () => {
    let installed: Installed
    let machine: Machine
    let docker: Docker

    beforeAll(async () => {
      installed = await installPacked()
      machine = await startMachine()
      docker = await startDockerd(machine, 'old')
      await importBase(machine, docker)
      const file = join(installed.folder, 'node_modules/outport/deploy/docker/Dockerfile')
      const build = [
        'build',
        '--build-arg',
        'BASE=base',
        '--file',
        file,
        '--tag',
        'outport',
        installed.folder,
      ]
      await docker(build, { env: { DOCKER_BUILDKIT: '0' }, timeoutMs: 240_000 })
    }, 600_000)
    afterAll(async () => {
      await machine?.[Symbol.asyncDispose]()
      await installed?.[Symbol.asyncDispose]()
    })

    test('serves as its compose file runs it: on a read-only root, as nobody, with no rights', {
      timeout: 120_000,
    }, async () => {
      await using upstream = await startUpstream()
      upstream.addImage('library/app', '1', image)
      const policies = join(machine.directory, 'policies')
      await mkdir(policies)
      for (const [name, text] of Object.entries(mirrorPolicies(upstream)))
        await writeFile(join(policies, name), text)
      const own = ['--network=host', `--volume=${policies}:/etc/outport/policies:ro`]
      const settings = ['--env=OUTPORT_LISTEN=127.0.0.1:0', '--name=edge', '--health-interval=2s']
      await docker(['run', '--detach', ...own, ...settings, ...(await argumentsOfCompose()), 'outport'])
      const logs = () => docker(['logs', 'edge'])
      await expect.poll(logs, { timeout: 30_000 }).toContain('"listening"')
      const [, url = ''] = /"url":"(http:\/\/127\.0\.0\.1:\d+)\/?"/.exec(await logs()) ?? []
      await pull(url, 'library/app', '1')
      await pull(url, 'library/app', '1')
      expect(upstream.count({ kind: 'blob' })).toBe(3)

      expect(await docker(['exec', 'edge', 'outport', 'status'])).toContain('all is well')
      const health = () => docker(['inspect', '--format={{.State.Health.Status}}', 'edge'])
      await expect.poll(health, { timeout: 60_000 }).toBe('healthy\n')
      await docker(['stop', 'edge'])
      expect(await docker(['inspect', '--format={{.State.ExitCode}}', 'edge'])).toBe('0\n')
      // The place where the policies were mounted, and nothing else.
      expect(await docker(['diff', 'edge'])).toBe('C /etc\nC /etc/outport\nA /etc/outport/policies\n')
    })

    test('says as whom it runs, where it listens, what it keeps and how it is asked', async () => {
      const inspected = await docker(['image', 'inspect', '--format={{json .Config}}', 'outport'])
      expect(JSON.parse(inspected)).toMatchObject({
        User: '65532:65532',
        ExposedPorts: { '5000/tcp': {} },
        Volumes: { '/var/lib/outport': {} },
        Healthcheck: { Test: ['CMD', 'outport', 'status'] },
      })
    })

    test('the compose file is right by its schema', async () => {
      await docker(['stack', 'config', '--compose-file', join(files, 'compose.yaml')])
    })
  },
)

async function importBase(machine: Machine, docker: Docker): Promise<void> {
  const folder = join(machine.directory, 'base')
  await makeBaseFiles(folder, process.execPath)
  await machine.run('tar', ['-C', folder, '-cf', `${folder}.tar`, '.'])
  await docker(['import', `${folder}.tar`, 'base'])
}

/** What the compose file says of how it runs, as the command `docker run` says it. */
async function argumentsOfCompose(): Promise<string[]> {
  const { services } = parse(await readFile(join(files, 'compose.yaml'), 'utf8'))
  const { volumes, environment, read_only, cap_drop, security_opt, stop_grace_period } = services.outport
  return [
    ...volumes.map((volume: string) => `--volume=${volume}`),
    ...Object.entries(environment).map(([name, value]) => `--env=${name}=${value}`),
    ...(read_only ? ['--read-only'] : []),
    ...cap_drop.map((capability: string) => `--cap-drop=${capability}`),
    ...security_opt.map((option: string) => `--security-opt=${option.replace(':', '=')}`),
    `--stop-timeout=${Number.parseInt(stop_grace_period, 10)}`,
  ]
}
