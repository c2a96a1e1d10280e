import { type Troubles, troubleCodes } from '../flow/troubles.ts'
import type { BufferPool } from '../http/buffers.ts'
import type { Certificates } from '../http/certificates.ts'
import type { Parts } from './handlers.ts'
import type { Takeover } from './troubles.ts'

export interface ShownOptions {
  version: string
  parts: Parts
  troubles: Pick<Troubles, 'all'>
  buffers: Pick<BufferPool, 'state'>
  certificates: Pick<Certificates, 'served'>
  policies(): Takeover
  isDraining(): boolean
}

/** From now on the metrics show this node as it is. */
export function showNode({ parts, buffers, certificates, isDraining, ...shown }: ShownOptions): void {
  const { metrics, stores, fills, site } = parts
  metrics.followNode({
    version: shown.version,
    isReady: () => !isDraining(),
    troubleCodes,
    troubles: shown.troubles.all,
    policies: shown.policies,
    certificates: () => certificates.served(),
    cache: stores.space.state,
    uploadBytes: stores.uploads.bytes,
    async disk() {
      const disk = await stores.disk()
      return { ...disk, reserveBytes: site().cache.reserve * disk.totalBytes }
    },
    buffers: buffers.state,
    fillsWaiting: fills.waiting,
  })
}
