import { startSite } from '../../faults/support/site.ts'
import { buildImage, buildIndex } from '../../support/images.ts'
import { pull } from '../../support/pull.ts'

/** For both platforms that tests are run on. */
export const image = buildIndex(
  ['linux/amd64', 'linux/arm64'].map((platform) => ({
    image: buildImage({ layers: [1000], seed: 'doctor', platform }),
  })),
)

/** A real node that has pulled `library/app:1` of {@link image} from its upstream, and asks for it no more. */
export async function startDoctorSite(options: Parameters<typeof startSite>[0] = {}) {
  const site = await startSite({ policy: { project: { freshness: [{ tag: '**', for: '1d' }] } }, ...options })
  site.upstream.addImage('library/app', '1', image)
  for (const platform of ['linux/amd64', 'linux/arm64'])
    await pull(site.edge.url, 'library/app', '1', { platform })
  return site
}
