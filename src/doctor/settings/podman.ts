import { authorityFile, type ClientFile } from './client-file.ts'
import type { Mirror, NodeAddress } from './node-address.ts'

/** These clients tell registries apart by a path, so it is the registry door that they ask. */
export function podmanFiles(node: NodeAddress): ClientFile[] {
  const { registry, mirrors } = node
  if (registry === undefined) return []
  const { host, protocol } = new URL(registry)
  const tables = mirrors.map((mirror, at) => registryTable(host, mirror, protocol === 'http:', at === 0))
  const head = `# /etc/containers/registries.conf for podman, skopeo, buildah and CRI-O
unqualified-search-registries = ["docker.io"]
`
  return [
    {
      path: '/etc/containers/registries.conf',
      text: `${head}${tables.map((table) => `\n${table}`).join('')}`,
    },
    ...authorityFile(node, `/etc/containers/certs.d/${host}/ca.crt`),
  ]
}

function registryTable(host: string, mirror: Mirror, isPlain: boolean, isFirst: boolean): string {
  const name = mirror.path === '' ? mirror.registry : `${mirror.registry}/${mirror.path}`
  const insecure = isPlain ? `insecure = true${isFirst ? ' # plain HTTP' : ''}\n` : ''
  return `[[registry]]
prefix = "${name}"
location = "${name}"
[[registry.mirror]]
location = "${host}/${mirror.project}"
${insecure}`
}
