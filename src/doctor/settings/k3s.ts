import { authorityFile, type ClientFile, registriesOf } from './client-file.ts'
import type { NodeAddress } from './node-address.ts'

const authorityPath = '/etc/rancher/k3s/outport-ca.pem'

export function k3sFiles(node: NodeAddress): ClientFile[] {
  const { mirror, authority } = node
  if (mirror === undefined) return []
  const mirrors = registriesOf(node).map((registry) => `  ${registry}:\n    endpoint: ["${mirror}"]\n`)
  const tls =
    authority === undefined
      ? ''
      : `configs:\n  "${new URL(mirror).host}":\n    tls:\n      ca_file: ${authorityPath}\n`
  const text = `# /etc/rancher/k3s/registries.yaml\nmirrors:\n${mirrors.join('')}${tls}`
  return [{ path: '/etc/rancher/k3s/registries.yaml', text }, ...authorityFile(node, authorityPath)]
}
