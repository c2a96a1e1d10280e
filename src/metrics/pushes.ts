import { Counter, type Registry } from 'prom-client'

/** `failed`: for what was sent, or for the disk; `abandoned`: nobody went on with it for too long. */
const uploadOutcomes = ['pushed', 'failed', 'cancelled', 'abandoned'] as const
export type UploadOutcome = (typeof uploadOutcomes)[number]

/** What clients bring, and take away again. */
export function createPushMetrics(registry: Registry) {
  const registers = [registry]
  const uploadsEnded = new Counter({
    name: 'outport_uploads_ended_total',
    help: 'How that ended: pushed, failed, cancelled, or abandoned by the client.',
    labelNames: ['outcome'] as const,
    registers,
  })
  const deleted = new Counter({
    name: 'outport_deletes_total',
    help: 'What clients took out of a repository: tags, manifests, blobs.',
    labelNames: ['kind'] as const,
    registers,
  })
  // What has not happened yet is 0, and not unknown.
  for (const outcome of uploadOutcomes) uploadsEnded.inc({ outcome }, 0)
  for (const kind of ['tag', 'manifest', 'blob']) deleted.inc({ kind }, 0)
  return {
    uploadsBegun: new Counter({
      name: 'outport_uploads_begun_total',
      help: 'Blobs that clients began to push.',
      registers,
    }),
    uploadsEnded,
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
    deleted,
  }
}
