import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import type { Command } from 'commander'
import { formatBar, formatPulled, formatStopped } from '../admin/format-pull.ts'
import type { PullEvent, PullRequest } from '../admin/pull.ts'
import { messageOf } from '../flow/message-of.ts'
import { anImage } from '../oci/image-name.ts'
import { createBars } from './bars.ts'
import { example, interrupted, jsonLine, type Output, valueBy, withCommands } from './context.ts'
import { parseUntil } from './until.ts'

interface PullSettings extends Output {
  platform?: string[]
  until?: Date
  from?: string
}

export function addPull(program: Command): void {
  program
    .command('pull')
    .alias('warm')
    .description('fetch whole images before anybody asks for them; exit code 1 when not all is here then')
    .argument('[image...]', 'such as nginx, library/nginx:1.27 or ghcr.io/org/app@sha256:…')
    .option('--platform <platform>', 'of an index only this one, such as linux/amd64; may be repeated', add)
    .option('--until <time>', 'try again until then, such as 08:00, and stop', valueBy(untilOf))
    .option('--from <file>', 'read more images from a file, one a line; - is standard input')
    .option('--json', 'a line of JSON for each image, and one at the end')
    .addHelpText(
      'after',
      example('outport pull --platform linux/amd64 --until 08:00 nginx:1.27 ghcr.io/org/app'),
    )
    .action(pull)
}

async function pull(said: string[], { platform = [], until, from, json }: PullSettings): Promise<void> {
  const images = [...said, ...(from === undefined ? [] : imagesIn(await listAt(from)))]
  if (images.length === 0) throw new Error(`expected ${anImage}, found none`)
  const request: PullRequest = {
    images,
    platforms: platform,
    ...(until && { until: until.toISOString() }),
  }
  const signal = interrupted()
  const end = await follow(request, json ?? false, signal)
  if (!end) throw new Error('stopped before all was here')
  if (end.whole < end.images)
    throw new Error(`${end.images - end.whole} of ${end.images} images are not all here`)
}

/** @returns `undefined` when somebody has stopped it */
async function follow(
  request: PullRequest,
  json: boolean,
  signal: AbortSignal,
): Promise<Extract<PullEvent, { kind: 'end' }> | undefined> {
  const bars = createBars(process.stderr)
  const running = new Map<string, Extract<PullEvent, { kind: 'progress' }>>()
  let end: Extract<PullEvent, { kind: 'end' }> | undefined
  try {
    await withCommands(async (commands) => {
      for await (const event of commands.pull(request, signal)) {
        if (signal.aborted) break
        if (event.kind === 'progress') running.set(event.image, event)
        else bars.clear()
        if (event.kind === 'image') running.delete(event.image)
        if (event.kind === 'end') end = event
        if (json && event.kind !== 'progress') process.stdout.write(jsonLine(event))
        else if (event.kind === 'image') process.stdout.write(formatPulled(event))
        bars.draw([...running.values()].map((each) => formatBar(each, process.stderr.columns)))
      }
    })
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    bars.clear()
  }
  for (const each of running.values())
    process.stdout.write(json ? jsonLine({ ...each, kind: 'stopped' }) : formatStopped(each))
  return end
}

function add(value: string, values: string[] = []): string[] {
  return [...values, value]
}

const untilOf = (text: string) => parseUntil(text, new Date())

async function listAt(file: string): Promise<string> {
  if (file === '-') return text(process.stdin)
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new Error(`--from: cannot read ${file}: ${messageOf(cause)}`, {
      cause,
    })
  }
}

/** What follows a # is for people. */
function imagesIn(list: string): string[] {
  return list.split('\n').flatMap((line) => {
    const image = line.replace(/(^|\s)#.*$/, '').trim()
    return image === '' ? [] : [image]
  })
}
