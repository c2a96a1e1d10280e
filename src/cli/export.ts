import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { Commands } from '../admin/commands.ts'
import { formatBytes } from '../admin/format.ts'
import { formatBar } from '../admin/format-pull.ts'
import type { ImageParts, PartsRequest } from '../transfer/export-parts.ts'
import { createBars } from './bars.ts'
import { configOf, example, interrupted, jsonLine, type Output, withCommands } from './context.ts'

interface ExportSettings extends Output {
  to: string
  platform: string[]
  referrers?: boolean
  offline?: boolean
  hardLink?: boolean
}

const more = `
In a folder, what is there and right is not written again, and other images stay in its index. A tar is written anew.
Of an index only the chosen platforms are written; the index stays as it is, so that its digest does.
${example('outport export --platform linux/amd64 --to nginx.tar nginx:1.27')}
${example("outport export --referrers --to ./layout 'team/**:*'")}`

export function addExport(program: Command): void {
  program
    .command('export')
    .description(
      'write images as an OCI image layout: for skopeo, crane, docker load, or outport import elsewhere',
    )
    .argument('<image...>', 'such as nginx:1.27 or team/app@sha256:…, or a pattern such as team/**:*')
    .requiredOption('--to <place>', 'a folder, a file that ends in .tar, or - for a tar on standard output')
    .option('--platform <platform>', 'of an index only this one; may be repeated', add, [])
    .option('--referrers', 'with what refers to them: signatures, SBOMs')
    .option('--offline', 'fetch nothing: what is not all here is an error')
    .option(
      '--hard-link',
      'into a folder on the same file system: who writes to it spoils what is stored here',
    )
    .option('--json', 'a line of JSON for each image')
    .addHelpText('after', more)
    .action(exportTo)
}

async function exportTo(images: string[], settings: ExportSettings): Promise<void> {
  const { platform: platforms, referrers = false, offline = false } = settings
  const signal = interrupted()
  const request = { images, platforms, referrers }
  await withCommands(async (commands) => {
    if (!offline) await fetchMissing(commands, request, signal)
    await withParts(commands, request, signal, async (all) => {
      const lacking = all.filter(isLacking)
      if (lacking.length > 0) throw new Error(lacking.map(lackOf).join('\n'))
      await write(all, settings, signal)
    })
  })
}

/** Does `work` while what it reads stays where it is. */
async function withParts<Value>(
  commands: Commands,
  request: PartsRequest,
  signal: AbortSignal,
  work: (images: ImageParts[]) => Promise<Value>,
): Promise<Value> {
  const done = new AbortController()
  const images: ImageParts[] = []
  try {
    for await (const event of commands.parts(request, AbortSignal.any([signal, done.signal]))) {
      if (event.kind === 'ready') return await work(images)
      images.push(event)
    }
  } finally {
    done.abort()
  }
  throw new Error('the node ended before its answer did')
}

async function fetchMissing(commands: Commands, request: PartsRequest, signal: AbortSignal): Promise<void> {
  const wanted = await withParts(commands, request, signal, async (all) =>
    all.filter((image) => image.isMirror && (isLacking(image) || request.referrers)),
  )
  if (wanted.length === 0) return
  const bars = createBars(process.stderr)
  const pull = { images: wanted.map(({ image }) => image), platforms: request.platforms }
  for await (const event of commands.pull(pull, signal)) {
    bars.clear()
    if (event.kind === 'progress') bars.draw([formatBar(event, process.stderr.columns)])
    if (event.kind === 'image' && event.reason !== undefined)
      process.stderr.write(`${event.image}: ${event.reason}\n`)
  }
  bars.clear()
}

function isLacking({ root, missing }: ImageParts): boolean {
  return !root || missing.length > 0
}

function lackOf({ image, root, missing, isMirror }: ImageParts): string {
  if (!root) return `${image} is not here`
  const hint = isMirror ? ' (--platform names those that are wanted)' : ''
  return `${image} is not all here: ${missing.length} of its parts are missing${hint}`
}

async function write(
  images: readonly ImageParts[],
  settings: ExportSettings,
  signal: AbortSignal,
): Promise<void> {
  const { fileOf } = await import('../blobs/fs.ts')
  const { indexOf } = await import('../transfer/layout-index.ts')
  const blobs = resolve(configOf().data, 'blobs')
  const bars = createBars(process.stderr)
  await using writer = await writerOf(settings)
  const { entries, listings } = indexOf(images)
  let bytes = 0
  let present = 0
  for (const { digest, size } of new Map(
    images.flatMap(({ parts }) => parts).map((part) => [part.digest, part]),
  ).values()) {
    if (await writer.putFile(digest, fileOf(blobs, digest), signal)) bytes += size
    else present += size
    bars.draw([`${formatBytes(bytes)} written`])
  }
  for (const [digest, listing] of listings) await writer.putBytes(digest, listing, signal)
  await writer.finish(entries)
  bars.clear()
  const output = settings.to === '-' ? process.stderr : process.stdout
  for (const { image, root } of images)
    output.write(settings.json ? jsonLine({ image, digest: root?.digest }) : `${image}  ${root?.digest}\n`)
  if (!settings.json) output.write(`${formatBytes(bytes)} written, ${formatBytes(present)} were there\n`)
}

async function writerOf({ to, hardLink = false }: ExportSettings) {
  if (to !== '-' && !to.endsWith('.tar'))
    return (await import('../transfer/write-folder.ts')).openFolderWriter(resolve(to), hardLink)
  if (hardLink) throw new Error('--hard-link: a tar holds no links to blobs')
  const { openArchiveFile, openArchiveWriter } = await import('../transfer/write-archive.ts')
  if (to !== '-') return openArchiveFile(resolve(to))
  if (process.stdout.isTTY) throw new Error('a tar does not go to a terminal')
  return openArchiveWriter(process.stdout)
}

function add(value: string, values: string[] = []): string[] {
  return [...values, value]
}
