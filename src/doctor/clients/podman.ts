import { mediaTypes } from '../../oci/manifest.ts'
import { containersAuthorities, containersFolder } from '../files/authority-folders.ts'
import { type Client, walk } from './client.ts'

const version = { 'docker-distribution-api-version': 'registry/2.0' }
const accept = [
  mediaTypes.ociManifest,
  mediaTypes.dockerManifest,
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
  'application/vnd.docker.distribution.manifest.v1+json',
  mediaTypes.dockerList,
  mediaTypes.ociIndex,
]

/** podman, skopeo, buildah, CRI-O: registries are told apart by a path, the tag is asked with GET. */
export const podman: Client = {
  name: 'podman',
  title: 'podman, skopeo, buildah, CRI-O',
  form: 'path',
  userAgent: 'containers/5.23.1 (github.com/containers/image)',
  closes: true,
  logsIn: true,
  consequences: {
    ping: 'it takes the whole image from the registry itself',
    manifest: 'it takes the whole image from the registry itself',
    blob: 'the pull fails: with a manifest from the mirror it takes layers from nowhere else',
    content: 'the pull fails, and no other source is tried',
  },
  wantsAuthorityIn: (host) => `${containersFolder}/${host}/ca.crt`,
  authorities: containersAuthorities,
  async play(talk, hasImage) {
    await talk.ping(version)
    if (!hasImage) return
    const config = await walk(talk, undefined, () => ({ ...version, accept, 'accept-encoding': 'gzip' }))
    if (config) await talk.blob(config, { ...version, 'accept-encoding': 'gzip' })
  },
}
