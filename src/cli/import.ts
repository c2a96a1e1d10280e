import { resolve } from 'node:path'
import type { Command } from 'commander'
import { formatImportEnd, formatImportProgress } from '../admin/format-transfer.ts'
import { createBars } from './bars.ts'
import { example, interrupted, jsonLine, type Output, withCommands } from './context.ts'

interface ImportSettings extends Output {
  into?: string
  copy?: boolean
  dryRun?: boolean
  replace?: boolean
}

const more = `
The source is the data folder of a registry:2 or 3 (the one that holds docker/registry/v2), or an OCI image layout: a
folder, or a tar as docker save writes it, compressed or not. Digests stay as they are. Run it again and only what is
missing comes.

Blobs are hashed, and on the same file system hard-linked. The old registry may go on, and may delete them: it never
writes to one again. Who writes to them by other means spoils both copies, which is noticed; --copy keeps them apart.

A hosted project owns what comes in. Into a mirror it comes as a cache that is already warm, and goes when room is needed.
${example('outport import /var/lib/registry --into team')}`

export function addImport(program: Command): void {
  program
    .command('import')
    .description(
      'take up what a registry:2 or an OCI image layout holds; exit code 1 when not all of it is right',
    )
    .argument('<source>', 'such as /var/lib/registry, ./layout or images.tar')
    .option(
      '--into <project/prefix>',
      'the project, and what its names begin with; else their first component',
    )
    .option('--copy', 'copy every blob, link none')
    .option('--replace', 'tags that stand for something else here follow the source')
    .option('--dry-run', 'say what would come')
    .option('--json', 'a line of JSON for each finding, and one at the end')
    .addHelpText('after', more)
    .action(importFrom)
}

async function importFrom(source: string, settings: ImportSettings): Promise<void> {
  const { into, copy = false, dryRun: dry = false, replace = false, json } = settings
  const request = { source: resolve(source), copy, dry, replace, ...(into !== undefined && { into }) }
  const bars = createBars(process.stderr)
  const signal = interrupted()
  await withCommands(async (commands) => {
    try {
      for await (const event of commands.import(request, signal)) {
        bars.clear()
        if (event.kind === 'progress') bars.draw([formatImportProgress(event)])
        else if (json) process.stdout.write(jsonLine(event))
        else if (event.kind === 'end') process.stdout.write(formatImportEnd(event, dry))
        else process.stderr.write(`${event.subject}: ${event.reason}\n`)
        if (event.kind === 'end' && event.problems > 0) process.exitCode = 1
      }
    } finally {
      bars.clear()
    }
  })
}
