import { parseArgs } from 'node:util'
import { blobBytesOf, buildImage, type Image } from '../images.ts'
import { line } from '../line.ts'
import type { Upstream, UpstreamOptions } from '../upstream.ts'

/** The one line that an upstream in a process of its own prints when it is ready. */
export interface UpstreamGreeting {
  url: string
  host: string
  images: { repository: string; tag: string; digest: string; blobBytes: number }[]
}

/**
 * `--image lib/app:1 --layers 1MiB,8MiB`, as often as there are images; `--rate 8MiB/s`, `--latency 20ms` for all of
 * them together; `--seed`, `--platform`, `--host`, `--port`.
 */
export async function runUpstream(
  start: (options: UpstreamOptions) => Promise<Upstream>,
  args: readonly string[],
): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      host: { type: 'string', default: '127.0.0.1' },
      port: { type: 'string', default: '0' },
      image: { type: 'string', multiple: true, default: [] },
      layers: { type: 'string', multiple: true, default: [] },
      seed: { type: 'string', default: 'image' },
      platform: { type: 'string', default: 'linux/amd64' },
      rate: { type: 'string' },
      latency: { type: 'string', default: '0ms' },
    },
  })
  const { seed, platform, rate, latency } = values
  const road = { latencyMs: amountOf(latency), ...(rate !== undefined && { bytesPerSecond: amountOf(rate) }) }
  const upstream = await start({ host: values.host, port: Number(values.port), line: line(road) })

  const images = values.image.map((name, at) => {
    const layers = (values.layers[at] ?? values.layers.at(-1) ?? '1MiB').split(',').map(amountOf)
    return { name, image: buildImage({ layers, seed: `${seed} ${name}`, platform }) }
  })
  const greeting: UpstreamGreeting = {
    url: upstream.url,
    host: upstream.host,
    images: images.map(({ name, image }) => publish(upstream, name, image)),
  }
  console.log(JSON.stringify(greeting))
}

function publish(upstream: Upstream, name: string, image: Image): UpstreamGreeting['images'][number] {
  const colon = name.lastIndexOf(':')
  const [repository, tag] = colon === -1 ? [name, 'latest'] : [name.slice(0, colon), name.slice(colon + 1)]
  upstream.addImage(repository, tag, image)
  return { repository, tag, digest: image.manifest.digest, blobBytes: blobBytesOf(image) }
}

const units: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  ms: 1,
  s: 1000,
}

/** Bytes, bytes a second, or milliseconds. */
export function amountOf(text: string): number {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)(B|[KMG]iB|ms|s)?(?:\/s)?$/.exec(text) ?? []
  if (number === undefined) throw new SyntaxError(`"${text}" is neither a size, a rate nor a duration`)
  return Math.floor(Number(number) * (units[unit] ?? 1))
}
