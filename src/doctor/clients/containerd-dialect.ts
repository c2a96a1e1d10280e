import { acceptedManifests } from '../../oci/manifest.ts'
import type { Headers, Talk } from './client.ts'
import { walk } from './client.ts'

export const containerdConsequences = {
  ping: 'it does not ask that',
  manifest: 'it asks the registry itself for this one, and says nothing of it',
  blob: 'it takes this layer from the registry itself, and says nothing of it',
  content: 'the pull fails, and no other source is tried',
} as const

const acceptAll = [...acceptedManifests, '*/*'].join(', ')

/** HEAD of the tag, then everything by digest, with the media type that its parent has told. */
export async function playContainerd(talk: Talk, hasImage: boolean, acceptEncoding: string): Promise<void> {
  if (!hasImage) return talk.unknownRegistry({ accept: acceptAll })
  const headersFor = (mediaType: string | undefined): Headers => ({
    accept: mediaType === undefined ? acceptAll : `${mediaType}, */*`,
    'accept-encoding': acceptEncoding,
  })
  const digest = await talk.head({ accept: acceptAll })
  const config = await walk(talk, digest, headersFor)
  if (!config) return
  const whole = await talk.blob(config, headersFor(config.mediaType))
  await talk.resume(config, whole, { accept: `${config.mediaType}, */*` })
}
