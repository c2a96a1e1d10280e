import { authorityFile, type ClientFile, registriesOf } from './client-file.ts'
import { containerdAuthority } from './containerd.ts'
import type { NodeAddress } from './node-address.ts'

const registryTable = 'plugins."io.containerd.grpc.v1.cri".registry'

/** containerd 1.x, whose older form needs no further file. */
export function containerd1Files(node: NodeAddress): ClientFile[] {
  const { mirror, authority } = node
  if (mirror === undefined) return []
  const mirrors = registriesOf(node).map(
    (registry) => `[${registryTable}.mirrors."${registry}"]\n  endpoint = ["${mirror}"]\n`,
  )
  const tls =
    authority === undefined
      ? ''
      : `[${registryTable}.configs."${new URL(mirror).host}".tls]\n  ca_file = "${containerdAuthority}"\n`
  const head = '# /etc/containerd/config.toml of containerd 1.x, the older form\nversion = 2\n\n'
  return [
    { path: '/etc/containerd/config.toml', text: `${head}${mirrors.join('')}${tls}` },
    ...authorityFile(node, containerdAuthority),
  ]
}
