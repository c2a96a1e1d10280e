import { authorityFile, type ClientFile, registriesOf } from './client-file.ts'
import type { NodeAddress } from './node-address.ts'

const folder = '/etc/containerd/certs.d'
export const containerdAuthority = '/etc/containerd/outport-ca.pem'

/** containerd 2: config.toml, and a folder of hosts.toml. */
export function containerdFiles(node: NodeAddress): ClientFile[] {
  const { mirror } = node
  if (mirror === undefined) return []
  const authority = node.authority === undefined ? undefined : containerdAuthority
  return [
    { path: '/etc/containerd/config.toml', text: config },
    defaultHosts(folder, mirror, authority),
    ...registriesOf(node).map((registry) => hostsOf(registry, mirror, authority)),
    ...authorityFile(node, containerdAuthority),
  ]
}

const config = `# /etc/containerd/config.toml of containerd 2
version = 3

[plugins."io.containerd.cri.v1.images".registry]
  config_path = "${folder}"
`

/** For every registry that has no folder of its own. @param authority a file */
export function defaultHosts(folder: string, mirror: string, authority: string | undefined): ClientFile {
  const path = `${folder}/_default/hosts.toml`
  const text = `# ${path}: every registry that has no folder of its own here.
# What the edge does not mirror is asked at its own registry.
${hostTable(mirror, authority)}`
  return { path, text }
}

function hostsOf(registry: string, mirror: string, authority: string | undefined): ClientFile {
  const path = `${folder}/${registry.replace(/:(\d+)$/, '_$1_')}/hosts.toml`
  const server = registry === 'docker.io' ? 'registry-1.docker.io' : registry
  return { path, text: `# ${path}\nserver = "https://${server}"\n\n${hostTable(mirror, authority)}` }
}

function hostTable(mirror: string, authority: string | undefined): string {
  const ca = authority === undefined ? '' : `  ca = "${authority}"\n`
  return `[host."${mirror}"]\n  capabilities = ["pull", "resolve"]\n${ca}`
}
