import { ctrClient, kubeletClient, startContainerd } from './support/containerd.ts'
import { pullSuite } from './support/pull-suite.ts'

pullSuite({
  name: 'containerd 2 with hosts.toml',
  needs: ['containerd (new)', 'ctr'],
  start: async (machine) => ctrClient(await startContainerd(machine, 'new')),
  second: 'ghcr.io',
})

pullSuite({
  name: 'containerd 2 under a kubelet, with hosts.toml',
  needs: ['containerd (new)', 'ctr'],
  start: async (machine) => kubeletClient(await startContainerd(machine, 'new')),
  second: 'ghcr.io',
})

pullSuite({
  name: 'containerd 1.6 under a kubelet, with registry.mirrors',
  needs: ['containerd (old)', 'ctr'],
  start: async (machine) => kubeletClient(await startContainerd(machine, 'old')),
  second: 'ghcr.io',
})
