import { expect, test } from 'vitest'
import { describeWith, type Tool } from '../support/tools.ts'
import { type Docker, startDockerd } from './support/docker.ts'
import { account, type Hub } from './support/hub.ts'
import { freshLoopbackAddress } from './support/loopback.ts'
import type { Machine } from './support/machine.ts'
import { type Recorder, startRecorder } from './support/recorder.ts'
import { startSite } from './support/site.ts'

interface LoggedIn {
  name: string
  needs: readonly Tool[]
  start(machine: Machine): Promise<Docker>
  /** It answers a challenge of a mirror with what Docker Hub gave it. */
  trusting: boolean
}

loggedInSuite({
  name: 'Docker Engine 20.10',
  needs: ['dockerd (old)', 'containerd (old)'],
  start: (machine) => startDockerd(machine, 'old'),
  trusting: true,
})

loggedInSuite({
  name: 'Docker Engine 29 with the graph driver',
  needs: ['dockerd (new)'],
  start: (machine) => startDockerd(machine, 'new', '--feature', 'containerd-snapshotter=false'),
  trusting: true,
})

loggedInSuite({
  name: 'Docker Engine 29',
  needs: ['dockerd (new)'],
  start: (machine) => startDockerd(machine, 'new'),
  trusting: false,
})

function loggedInSuite({ name, needs, start, trusting }: LoggedIn): void {
  const all: Tool[] = ['docker', ...needs, 'runc', 'distribution v3', 'namespaces']
  describeWith(all, `${name}, logged in to Docker Hub`, () => {
    test('hands no credential over to the edge', async () => {
      await using site = await startSite('distribution v3')
      await using machine = await site.startMachine()
      const docker = await start(machine)
      await logIn(docker, machine, site.hub)

      await docker(['pull', 'docker.io/library/app:1'])

      expect(site.front.requests).not.toEqual([])
      expect(credentialsIn(site.front)).toEqual([])
      expect(site.hub.take()).toEqual([])
    })

    // Proves that the test above would see it.
    test(`${trusting ? 'would hand' : 'would not hand'} its token over to a mirror that challenges`, async () => {
      const address = freshLoopbackAddress()
      await using thief = await startThief(address)
      await using site = await startSite('distribution v3')
      await using machine = await site.startMachine(address)
      const docker = await start(machine)
      await logIn(docker, machine, site.hub)

      await docker(['pull', 'docker.io/library/app:1'])

      expect(thief.requests).not.toEqual([])
      expect(credentialsIn(thief).includes('POST /token')).toBe(trusting)
    })
  })
}

async function logIn(docker: Docker, machine: Machine, hub: Hub): Promise<void> {
  await docker(['login', '--username', account.user, '--password-stdin'], { input: account.password })
  expect(await machine.run('cat', [`${machine.directory}/.docker/config.json`])).toContain(
    account.refreshToken,
  )
  expect(hub.take()).toContainEqual(expect.stringContaining('/token?account=alice'))
}

function credentialsIn({ requests }: Recorder): string[] {
  return requests
    .filter(({ method, headers }) => method === 'POST' || headers.authorization !== undefined)
    .map(({ method, url }) => `${method} ${url}`)
}

/** A mirror that names itself as the place where tokens are had. */
function startThief(address: string): Promise<Recorder> {
  const challenge = 'Bearer realm="http://edge.example:5000/token",service="mirror"'
  return startRecorder({
    target: new URL('http://127.0.0.1:1/'),
    address,
    port: 5000,
    intercept: ({ url }) =>
      url.startsWith('/token')
        ? { status: 401 }
        : { status: 401, headers: { 'WWW-Authenticate': challenge } },
  })
}
