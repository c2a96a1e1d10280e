import type { Command } from 'commander'
import { formatGivenUp } from '../admin/format-evict.ts'
import { example, interrupted, jsonLine, type Output, withCommands } from './context.ts'

export function addEvict(program: Command): void {
  program
    .command('evict')
    .description('give up images now, each whole; exit code 1 when one stays or none is here')
    .argument(
      '<image...>',
      'such as library/nginx:1.27, nginx for all of its tags, docker.io/** or library/*:1.*',
    )
    .option('--dry-run', 'say what would go')
    .option('--json', 'a line of JSON for each image, and one at the end')
    .addHelpText('after', example("outport evict --dry-run 'docker.io/library/*'"))
    .action(evict)
}

async function evict(
  images: string[],
  { dryRun = false, json }: Output & { dryRun?: boolean },
): Promise<void> {
  await withCommands(async (commands) => {
    for await (const event of commands.evict({ images, dry: dryRun }, interrupted())) {
      const isFailure = event.kind === 'nothing' || (event.kind === 'image' && event.why !== undefined)
      if (isFailure) process.exitCode = 1
      if (json) process.stdout.write(jsonLine(event))
      else if (event.kind === 'nothing') process.stderr.write(`outport: ${formatGivenUp(event, dryRun)}`)
      else process.stdout.write(formatGivenUp(event, dryRun))
    }
  })
}
