import { dockerClient, startDockerd } from './support/docker.ts'
import { pullSuite } from './support/pull-suite.ts'

pullSuite({
  name: 'Docker Engine 20.10 with daemon.json',
  needs: ['docker', 'dockerd (old)', 'containerd (old)', 'runc'],
  start: async (machine) => dockerClient(await startDockerd(machine, 'old')),
})
