import { ctrOn, kubeletOn } from './support/containerd.ts'
import { pullSuite } from './support/pull-suite.ts'

pullSuite({
  name: 'containerd 2 with hosts.toml',
  needs: ['containerd (new)', 'ctr'],
  start: ctrOn,
  second: 'ghcr.io',
})

pullSuite({
  name: 'containerd 2 under a kubelet, with hosts.toml',
  needs: ['containerd (new)', 'ctr'],
  start: (machine) => kubeletOn(machine, 'new'),
  second: 'ghcr.io',
})

pullSuite({
  name: 'containerd 1.6 under a kubelet, with registry.mirrors',
  needs: ['containerd (old)', 'ctr'],
  start: (machine) => kubeletOn(machine, 'old'),
  second: 'ghcr.io',
})
