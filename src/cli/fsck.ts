import type { Command } from 'commander'
import { clearLine, formatFinding, formatProgress } from '../admin/format.ts'
import { example, interrupted, jsonLine, type Output, withCommands } from './context.ts'

export function addFsck(program: Command): void {
  program
    .command('fsck')
    .description(
      'read everything that is stored and say what is not right; exit code 1 when something is left so',
    )
    .option('--repair', 'fetch it again, only what is wrong of it')
    .option('--json', 'a line of JSON for each finding, and one at the end')
    .addHelpText('after', example('outport fsck --repair'))
    .action(check)
}

async function check({ repair = false, json }: Output & { repair?: boolean }): Promise<void> {
  await withCommands(async (commands) => {
    for await (const event of commands.fsck({ repair }, interrupted())) {
      if (process.stderr.isTTY)
        process.stderr.write(event.kind === 'progress' ? formatProgress(event) : clearLine)
      if (event.kind === 'progress') continue
      process.stdout.write(json ? jsonLine(event) : formatFinding(event))
      if (event.kind === 'end' && event.rotten + event.absent + event.unknown > event.mended)
        process.exitCode = 1
    }
  })
}
