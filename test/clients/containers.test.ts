import { craneOn, podmanOn, skopeoOn } from './support/containers.ts'
import { pullSuite } from './support/pull-suite.ts'

pullSuite({ name: 'podman with registries.conf', needs: ['podman'], start: podmanOn, second: 'ghcr.io' })

pullSuite({ name: 'skopeo with registries.conf', needs: ['skopeo'], start: skopeoOn, second: 'ghcr.io' })

pullSuite({
  name: 'crane by the path form',
  needs: ['crane'],
  start: (machine) => craneOn(machine, 'edge.example:5000'),
  second: 'ghcr.io',
  fallsThrough: false,
})
