import type { Command } from 'commander'
import { formatStatus } from '../admin/format.ts'
import { commandsOfNode, example, interrupted, jsonLine, type Output } from './context.ts'

export function addStatus(program: Command): void {
  program
    .command('status')
    .description('how the node on this data is doing')
    .option('--json', 'for scripts')
    .addHelpText('after', example('outport status --json'))
    .action(status)
}

async function status({ json }: Output): Promise<void> {
  for await (const said of commandsOfNode().status({}, interrupted()))
    process.stdout.write(json ? jsonLine(said) : formatStatus(said))
}
