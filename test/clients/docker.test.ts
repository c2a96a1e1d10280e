import { dockerClient, startDockerd } from './support/docker.ts'
import { pullSuite } from './support/pull-suite.ts'

pullSuite({
  name: 'Docker Engine 29 with daemon.json',
  needs: ['docker', 'dockerd (new)', 'runc'],
  start: async (machine) => dockerClient(await startDockerd(machine, 'new')),
})
