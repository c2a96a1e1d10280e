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
    gcRuns: new Counter({
      name: 'outport_gc_runs_total',
      help: 'Times that garbage was collected, by whether all of it could be: done, failed or stopped.',
      labelNames: ['outcome'] as const,
      registers,
    }),
    gcUnlinked: new Counter({
      name: 'outport_gc_unlinked_total',
      help: 'Manifests and blobs that were pushed to a repository, and that it holds no more because nothing needed them.',
      labelNames: ['kind'] as const,
      registers,
    }),
    gcBytes: new Counter({
      name: 'outport_gc_bytes_total',
      help: 'Bytes that went because no repository held them any more.',
      registers,
    }),
    gcAt: new Gauge({
      name: 'outport_gc_last_timestamp_seconds',
      help: 'When all garbage was collected the last time; 0: not since the start.',
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
