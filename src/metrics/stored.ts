import { Counter, Gauge, type Registry } from 'prom-client'

/** What comes to the disk, goes from it, and changes there. */
export function createStoredMetrics(registry: Registry) {
  const registers = [registry]
  return {
    fills: new Gauge({ name: 'outport_fills', help: 'Blobs on their way from a registry.', registers }),
    fillFailures: new Counter({
      name: 'outport_fill_failures_total',
      help: 'Fills that ended without their blob.',
      registers,
    }),
    fillsSkippedDisk: new Counter({
      name: 'outport_fill_skipped_disk_total',
      help: 'Blobs that were passed on to their readers and not kept, because the disk was full.',
      registers,
    }),
    rotten: new Counter({
      name: 'outport_blobs_rotten_total',
      help: 'Stored blobs whose bytes had become others; they are put aside and fetched again.',
      registers,
    }),
    healed: new Counter({
      name: 'outport_blobs_healed_total',
      help: 'Stored blobs that the scrub found missing or rotten, and brought back.',
      registers,
    }),
    evicted: new Counter({
      name: 'outport_evicted_total',
      help: 'Manifests and blobs that were given up for others, or because nobody had used them for long.',
      registers,
    }),
    evictedBytes: new Counter({
      name: 'outport_evicted_bytes_total',
      help: 'Their bytes.',
      registers,
    }),
    scrubbed: new Counter({
      name: 'outport_scrub_blobs_total',
      help: 'Stored blobs that were looked through for what the disk has changed, by what was found.',
      labelNames: ['outcome'] as const,
      registers,
    }),
    scrubbedBytes: new Counter({
      name: 'outport_scrub_bytes_total',
      help: 'Bytes that were read for that.',
      registers,
    }),
    scrubbedAt: new Gauge({
      name: 'outport_scrub_last_timestamp_seconds',
      help: 'When a stored blob was looked through the last time; 0: not since the start.',
      registers,
    }),
  }
}
