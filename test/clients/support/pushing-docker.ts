import { password } from '../../support/hosted.ts'
import { digestsIn } from './client.ts'
import { dockerClient, startDockerd } from './docker.ts'
import type { Machine } from './machine.ts'
import type { PushSite } from './push-site.ts'
import type { Pushing } from './pushing.ts'

/** An image of a gigabyte takes its time. */
const patient = { timeoutMs: 240_000 }

export async function dockerPushing(
  machine: Machine,
  { host, isSecure }: PushSite,
  age: 'old' | 'new',
): Promise<Pushing> {
  const docker = await startDockerd(machine, age)
  await docker(['login', '--username', 'admin', '--password-stdin', host], { input: password })
  const insecure = isSecure ? [] : ['--insecure']
  return {
    ...dockerClient(docker),
    async copy(from, to) {
      await docker(['pull', '--quiet', from], patient)
      await docker(['tag', from, to])
      const said = await docker(['push', to], patient)
      await docker(['rmi', '--force', to, from])
      return digestsIn(said).at(-1) ?? ''
    },
    async join(images, to) {
      await docker(['manifest', 'create', ...insecure, to, ...images])
      return (await docker(['manifest', 'push', ...insecure, to])).trim()
    },
  }
}
