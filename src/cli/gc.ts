import type { Command } from 'commander'
import { formatGarbage } from '../admin/format-gc.ts'
import { parseDuration } from '../policy/units.ts'
import { example, interrupted, jsonLine, type Output, valueBy, withCommands } from './context.ts'

export function addGc(program: Command): void {
  program
    .command('gc')
    .description('remove what was pushed and nothing needs any more, now; pushes and pulls go on meanwhile')
    .option('--dry-run', 'say what would go')
    .option(
      '--untagged <age>',
      'also manifests that have no tag, when nobody has pushed, tagged or asked for them for so long, such as 7d',
      valueBy(parseDuration),
    )
    .option('--json', 'a line of JSON for each repository, and one at the end')
    .addHelpText('after', example('outport gc --dry-run --untagged 7d'))
    .action(collect)
}

interface Options extends Output {
  dryRun?: boolean
  untagged?: number
}

async function collect({ dryRun = false, untagged, json }: Options): Promise<void> {
  const request = { dry: dryRun, ...(untagged !== undefined && { untaggedMs: untagged }) }
  await withCommands(async (commands) => {
    for await (const event of commands.gc(request, interrupted()))
      process.stdout.write(json ? jsonLine(event) : formatGarbage(event, dryRun))
  })
}
