import { configAuthorities } from '../files/hosts-authorities.ts'
import type { Client } from './client.ts'
import { containerdConsequences, playContainerd } from './containerd-dialect.ts'

/** containerd 1.x under a kubelet. */
export const containerd1: Client = {
  name: 'containerd-1',
  title: 'containerd 1.x',
  form: 'ns',
  userAgent: 'containerd/1.6.20',
  closes: false,
  logsIn: false,
  consequences: containerdConsequences,
  wantsAuthorityIn: (host) => `a file that ca_file of registry.configs."${host}".tls in config.toml names`,
  authorities: configAuthorities,
  play: (talk, hasImage) => playContainerd(talk, hasImage, 'gzip'),
}
