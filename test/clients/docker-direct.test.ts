import { expect, test } from 'vitest'
import { describeWith, type Tool } from '../support/tools.ts'
import { dockerClient, startDockerd } from './support/docker.ts'
import { startSite } from './support/site.ts'

const ages: Record<'old' | 'new', Tool[]> = {
  old: ['dockerd (old)', 'containerd (old)'],
  new: ['dockerd (new)'],
}

for (const age of ['old', 'new'] as const) {
  describeWith(['docker', ...ages[age], 'runc', 'distribution v3', 'namespaces'], `dockerd (${age})`, () => {
    test('pulls any registry by the name of the edge and a path', async () => {
      await using site = await startSite('distribution v3')
      await using machine = await site.startMachine()
      const client = dockerClient(await startDockerd(machine, age))
      const { app, tool } = site.images

      const byTag = await client.pull('edge.example:5000/docker.io/library/app:1')
      const byDigest = await client.pull(`edge.example:5000/ghcr.io/library/tool@${tool.manifest.digest}`)

      expect(byTag).toContain(app.manifest.digest)
      expect(byDigest).toContain(tool.manifest.digest)
      expect(site.hub.take()).toEqual([])
    })
  })
}
