import { authorityFile, type ClientFile } from './client-file.ts'
import { defaultHosts } from './containerd.ts'
import type { NodeAddress } from './node-address.ts'

/** `daemon.json` for Docker Hub, in every version; hosts.toml for the other registries, from Docker 28 on. */
export function dockerFiles(node: NodeAddress): ClientFile[] {
  const { mirror, hasDefaultMirror } = node
  if (mirror === undefined) return []
  const authority = `/etc/docker/certs.d/${new URL(mirror).host}/ca.crt`
  const settings = { 'registry-mirrors': [mirror] }
  return [
    ...(hasDefaultMirror
      ? [
          {
            path: '/etc/docker/daemon.json',
            text: `${JSON.stringify(settings, null, 2)}\n`.replace(list, '[$1]'),
          },
        ]
      : []),
    defaultHosts('/etc/docker/certs.d', mirror, node.authority === undefined ? undefined : authority),
    ...authorityFile(node, authority),
  ]
}

/** One address stands in one line, as people write it. */
const list = /\[\s+("[^"]*")\s+\]/
