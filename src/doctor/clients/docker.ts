import { engineAuthorities, engineFolder } from '../files/authority-folders.ts'
import type { Client } from './client.ts'
import { containerdConsequences, playContainerd } from './containerd-dialect.ts'

/** Docker Engine with containerd's image store, which speaks as containerd does. */
export const docker: Client = {
  name: 'docker',
  title: 'Docker Engine 29',
  form: 'ns',
  userAgent: 'docker/29.0.0 go/go1.26.8 os/linux arch/amd64 containerd-client/2.3.5 storage-driver/overlayfs',
  closes: false,
  logsIn: false,
  consequences: containerdConsequences,
  wantsAuthorityIn: (host) => `${engineFolder}/${host}/ca.crt`,
  authorities: engineAuthorities,
  play: (talk, hasImage) => playContainerd(talk, hasImage, 'zstd;q=1.0, gzip;q=0.8, deflate;q=0.5'),
}
