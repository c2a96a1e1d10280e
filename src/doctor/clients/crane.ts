import { acceptedManifests } from '../../oci/manifest.ts'
import { type Client, walk } from './client.ts'

const accept = acceptedManifests.join(',')

/** crane, and what else is made with go-containerregistry: by name, with a ping before anything else. */
export const crane: Client = {
  name: 'crane',
  title: 'crane, cosign, kaniko',
  form: 'path',
  userAgent: 'crane/v0.22.1 go-containerregistry/v0.22.1',
  closes: false,
  logsIn: true,
  consequences: {
    ping: 'it fails: it knows no mirrors',
    manifest: 'it fails: it knows no mirrors',
    blob: 'it tries three times and fails',
    content: 'it fails: it knows no mirrors',
  },
  wantsAuthorityIn: () =>
    "the system's own store (update-ca-certificates), or a file that SSL_CERT_FILE names",
  authorities: async () => ({ pems: [], misplaced: [] }),
  async play(talk, hasImage) {
    await talk.ping()
    if (!hasImage) return
    const config = await walk(talk, undefined, () => ({ accept, 'accept-encoding': 'gzip' }))
    if (config) await talk.blob(config, { 'accept-encoding': 'gzip' })
  },
}
