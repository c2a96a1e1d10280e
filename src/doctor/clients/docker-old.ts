import { mediaTypes } from '../../oci/manifest.ts'
import { engineAuthorities, engineFolder } from '../files/authority-folders.ts'
import { type Client, walk } from './client.ts'

const accept = [
  mediaTypes.ociManifest,
  mediaTypes.dockerManifest,
  mediaTypes.dockerList,
  mediaTypes.ociIndex,
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
  'application/json',
]

/** Docker Engine with its own image store: a ping, then no word of the registry. */
export const dockerOld: Client = {
  name: 'docker-old',
  title: 'Docker Engine 20 to 28',
  form: 'mirror',
  userAgent: 'docker/20.10.24 go/go1.19.8 os/linux UpstreamClient(Docker-Client/20.10.24)',
  closes: true,
  logsIn: false,
  consequences: {
    ping: 'it asks Docker Hub for everything, and says nothing of it',
    manifest: 'it takes the whole image from Docker Hub, and says nothing of it',
    blob: 'it tries again for up to 75 s, then takes the whole image from Docker Hub',
    content: 'it takes the whole image from Docker Hub, and says nothing of it',
  },
  wantsAuthorityIn: (host) => `${engineFolder}/${host}/ca.crt`,
  authorities: engineAuthorities,
  async play(talk, hasImage) {
    await talk.ping()
    if (!hasImage) return
    const digest = await talk.head({ accept })
    const config = await walk(talk, digest, () => ({ accept, 'accept-encoding': 'gzip' }))
    if (!config) return
    const whole = await talk.blob(config, { 'accept-encoding': 'gzip' })
    await talk.resume(config, whole, {})
  },
}
