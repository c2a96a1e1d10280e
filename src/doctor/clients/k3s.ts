import { k3sAuthorities } from '../files/k3s-registries.ts'
import type { Client } from './client.ts'
import { containerdConsequences, playContainerd } from './containerd-dialect.ts'

/** The containerd within k3s, which is told by registries.yaml. */
export const k3s: Client = {
  name: 'k3s',
  title: 'k3s',
  form: 'ns',
  userAgent: 'containerd/v2.1.4-k3s1',
  closes: false,
  logsIn: false,
  consequences: containerdConsequences,
  wantsAuthorityIn: (host) => `a file that ca_file of configs."${host}".tls in registries.yaml names`,
  authorities: k3sAuthorities,
  play: (talk, hasImage) => playContainerd(talk, hasImage, 'zstd;q=1.0, gzip;q=0.8, deflate;q=0.5'),
}
