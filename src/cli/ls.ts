import type { Command } from 'commander'
import { formatImage, imageHeading } from '../admin/format.ts'
import { parsePattern } from '../oci/pattern.ts'
import { example, interrupted, jsonLine, type Output, withCommands } from './context.ts'

export function addLs(program: Command): void {
  program
    .command('ls')
    .description('the images that are here, and what of them is')
    .argument('[pattern]', 'only repositories such as docker.io/library/**')
    .option('--json', 'a line of JSON for each')
    .addHelpText('after', example("outport ls 'docker.io/library/*'"))
    .action(list)
}

async function list(text: string | undefined, { json }: Output): Promise<void> {
  const matches = text === undefined ? () => true : parsePattern(text)
  await withCommands(async (commands) => {
    if (!json) process.stdout.write(imageHeading)
    for await (const page of commands.images({}, interrupted())) {
      const wanted = page.filter(({ repository }) => matches(repository))
      const now = Date.now()
      process.stdout.write(wanted.map((image) => (json ? jsonLine(image) : formatImage(image, now))).join(''))
    }
  })
}
