import { Counter, type Registry } from 'prom-client'

/** `failed`: for what was sent, or for the disk; `abandoned`: nobody went on with it for too long. */
export type UploadOutcome = 'pushed' | 'failed' | 'cancelled' | 'abandoned'

/** What clients bring, and take away again. */
export function createPushMetrics(registry: Registry) {
  const registers = [registry]
  return {
    uploadsBegun: new Counter({
      name: 'outport_uploads_begun_total',
      help: 'Blobs that clients began to push.',
      registers,
    }),
    uploadsEnded: new Counter({
      name: 'outport_uploads_ended_total',
      help: 'How that ended: pushed, failed, cancelled, or abandoned by the client.',
      labelNames: ['outcome'] as const,
      registers,
    }),
    uploadBytes: new Counter({
      name: 'outport_upload_bytes_total',
      help: 'Bytes of blobs that clients sent.',
      registers,
    }),
    mounted: new Counter({
      name: 'outport_blobs_mounted_total',
      help: 'Blobs that clients took over from another repository instead of pushing them.',
      registers,
    }),
    manifestsPushed: new Counter({
      name: 'outport_manifests_pushed_total',
      help: 'Manifests that clients pushed.',
      registers,
    }),
    deleted: new Counter({
      name: 'outport_deletes_total',
      help: 'What clients took out of a repository.',
      labelNames: ['kind'] as const,
      registers,
    }),
  }
}
