import { hostsAuthorities } from '../files/hosts-authorities.ts'
import type { Client } from './client.ts'
import { containerdConsequences, playContainerd } from './containerd-dialect.ts'

/** containerd 2, under ctr or a kubelet. */
export const containerd: Client = {
  name: 'containerd',
  title: 'containerd 2',
  form: 'ns',
  userAgent: 'containerd/2.4.2',
  closes: false,
  logsIn: false,
  consequences: containerdConsequences,
  wantsAuthorityIn: () => 'a file that `ca` in hosts.toml names',
  authorities: hostsAuthorities,
  play: (talk, hasImage) => playContainerd(talk, hasImage, 'zstd;q=1.0, gzip;q=0.8, deflate;q=0.5'),
}
