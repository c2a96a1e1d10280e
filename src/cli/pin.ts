import type { Command } from 'commander'
import type { PinLine } from '../admin/pins.ts'
import { example, interrupted, jsonLine, type Output, withCommands } from './context.ts'

export function addPin(program: Command): void {
  program
    .command('pin')
    .description(
      'never give up what these repositories hold; without a pattern, list what is pinned and by whom',
    )
    .argument('[pattern]', 'such as nginx, docker.io/library/nginx or team/**')
    .option('--json', 'for scripts')
    .addHelpText('after', example('outport pin docker.io/library/alpine'))
    .action(pin)

  program
    .command('unpin')
    .description('take back what pin was told')
    .argument('<pattern>', 'as pin lists it')
    .option('--json', 'for scripts')
    .addHelpText('after', example('outport unpin docker.io/library/alpine'))
    .action(unpin)
}

async function pin(pattern: string | undefined, { json }: Output): Promise<void> {
  await withCommands(async (commands) => {
    if (pattern === undefined) {
      for await (const pins of commands.pins({}, interrupted()))
        process.stdout.write(pins.map((each) => (json ? jsonLine(each) : formatPin(each))).join(''))
      return
    }
    for await (const told of commands.pin({ pattern }, interrupted()))
      process.stdout.write(
        json ? jsonLine(told) : `${told.pattern} is pinned${told.isNew ? '' : ' already'}\n`,
      )
  })
}

async function unpin(pattern: string, { json }: Output): Promise<void> {
  await withCommands(async (commands) => {
    for await (const told of commands.unpin({ pattern }, interrupted()))
      process.stdout.write(json ? jsonLine(told) : `${told.pattern} is pinned no more\n`)
  })
}

function formatPin(line: PinLine): string {
  const by = line.from === 'command' ? `a command, ${line.since}` : `the policies, ${line.at}`
  return `${line.pattern}  (${by})\n`
}
