import { Gauge, type Registry } from 'prom-client'

/** A node as it is whenever somebody looks. */
export interface ObservedNode {
  version: string
  isReady(): boolean
  /** All that a trouble can have. */
  troubleCodes: readonly string[]
  troubles(): readonly { code: string; since: string }[]
  policies(): { failed?: string; at: number }
  /** Ends by name, milliseconds since 1970. */
  certificates(): readonly { names: readonly string[]; notAfter: number }[]
  cache(): { bytes: number; limitBytes: number }
  /** Bytes of uploads that are not finished. */
  uploadBytes(): number
  disk(): Promise<{ totalBytes: number; freeBytes: number; reserveBytes: number }>
  buffers(): { lentBytes: number; maxBytes: number; waiting: number }
  fillsWaiting(): number
}

/** Gauges that are read when they are asked for. */
export function createNodeMetrics(registry: Registry) {
  let node: ObservedNode | undefined

  function gauge(name: string, help: string, read: (node: ObservedNode) => number): void {
    new Gauge({
      ...{ name, help, registers: [registry] },
      collect() {
        if (node) this.set(read(node))
      },
    })
  }
  function labelled<Label extends string>(
    ...[name, help, label, read]: [string, string, Label, (node: ObservedNode) => Iterable<[string, number]>]
  ): void {
    new Gauge({
      ...{ name, help, labelNames: [label], registers: [registry] },
      collect() {
        this.reset()
        for (const [value, number] of node ? read(node) : [])
          this.set({ [label]: value } as Record<Label, string>, number)
      },
    })
  }
  labelled('outport_build_info', '1, with the version of this program.', 'version', ({ version }) => [
    [version, 1],
  ])
  gauge('outport_ready', '0 while this node should get no requests, because it is stopping.', (it) =>
    Number(it.isReady()),
  )
  labelled(
    'outport_trouble',
    'How much of a kind works less well than it should: see /readyz.',
    'code',
    (it) => {
      const all = it.troubles()
      return it.troubleCodes.map((code) => [code, all.filter((each) => each.code === code).length])
    },
  )
  labelled('outport_trouble_since_timestamp_seconds', 'Since when, the oldest of a kind.', 'code', (it) =>
    // The oldest come first, and the last that is set stays.
    [...it.troubles()].reverse().map(({ code, since }) => [code, Date.parse(since) / 1000]),
  )
  gauge(
    'outport_policies_ok',
    '0 while the folder holds policies that are wrong; the last good ones go on.',
    (it) => Number(it.policies().failed === undefined),
  )
  gauge(
    'outport_policies_loaded_timestamp_seconds',
    'When the policies in force were loaded.',
    (it) => it.policies().at / 1000,
  )
  labelled('outport_certificate_not_after_timestamp_seconds', 'When a certificate ends.', 'name', (it) =>
    it.certificates().map(({ names, notAfter }) => [names[0] ?? '', notAfter / 1000]),
  )
  gauge('outport_fills_waiting', 'Blobs that wait until they may be fetched.', (it) => it.fillsWaiting())
  gauge(
    'outport_cache_bytes',
    'Bytes that are kept, on their way, or left of what was.',
    (it) => it.cache().bytes,
  )
  gauge('outport_cache_limit_bytes', 'Bytes that may be kept.', (it) => it.cache().limitBytes)
  gauge(
    'outport_uploads_unfinished_bytes',
    'Of what is kept, bytes of uploads that are under way or that their clients have left.',
    (it) => it.uploadBytes(),
  )
  gauge('outport_buffer_bytes', 'Bytes of buffers on their way to clients.', (it) => it.buffers().lentBytes)
  gauge('outport_buffer_limit_bytes', 'Bytes that they may take together.', (it) => it.buffers().maxBytes)
  gauge('outport_buffer_waiters', 'Answers that wait for a buffer.', (it) => it.buffers().waiting)
  createDiskGauges(registry, async () => node?.disk())
  return {
    /** Shown from now on. */
    followNode(observed: ObservedNode): void {
      node = observed
    },
  }
}

/** Of a disk that cannot be asked nothing is shown, and the rest is. */
function createDiskGauges(
  registry: Registry,
  disk: () => Promise<Awaited<ReturnType<ObservedNode['disk']>> | undefined>,
): void {
  const gauge = (name: string, help: string, key: keyof Awaited<ReturnType<ObservedNode['disk']>>) =>
    new Gauge({
      ...{ name, help, registers: [registry] },
      async collect() {
        this.reset()
        const found = await disk().catch(() => undefined)
        if (found) this.set(found[key])
        else this.remove()
      },
    })
  gauge('outport_disk_total_bytes', 'Of the disk that holds the data.', 'totalBytes')
  gauge('outport_disk_free_bytes', 'That are free on it.', 'freeBytes')
  gauge('outport_disk_reserve_bytes', 'That are to stay free of the cache.', 'reserveBytes')
}
