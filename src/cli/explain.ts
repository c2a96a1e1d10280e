import type { Command } from 'commander'
import { formatExplanation } from '../admin/format-explain.ts'
import { example, interrupted, jsonLine, type Output, withCommands } from './context.ts'

export function addExplain(program: Command): void {
  program
    .command('explain')
    .description(
      'what becomes of a pull of an image: names, rules, upstream, what is here of it and for how long',
    )
    .argument('<image>', 'such as nginx, library/nginx:1.27 or ghcr.io/org/app@sha256:…')
    .option('--json', 'for scripts')
    .addHelpText('after', example('outport explain nginx:1.27'))
    .action(explain)
}

async function explain(image: string, { json }: Output): Promise<void> {
  await withCommands(async (commands) => {
    for await (const told of commands.explain({ image }, interrupted()))
      process.stdout.write(json ? jsonLine(told) : formatExplanation(told, Date.now()))
  })
}
