import type { Command } from 'commander'
import { formatProblem, formatWarning } from '../policy/problem.ts'
import { configOf, example, main } from './context.ts'

export function addPolicy(program: Command): void {
  const policy = program.command('policy').description('what this site does, as its policies say it')

  policy
    .command('check')
    .description('read the policies and say what is wrong with them')
    .argument('[folder]', 'instead of OUTPORT_POLICIES')
    .addHelpText('after', example('outport policy check policies/examples/harbor'))
    .action(check)

  policy
    .command('schema')
    .description('print the JSON schema of policy documents, for editors')
    .addHelpText('after', example('outport policy schema > policies/schema.json'))
    .action(async () => {
      const { policySchema } = await import('../policy/schema.ts')
      process.stdout.write(`${JSON.stringify(policySchema(), null, 2)}\n`)
    })
}

async function check(folder: string | undefined): Promise<void> {
  const loaded = await (await main()).policyLoader(configOf(), folder)()
  if ('problems' in loaded) {
    process.stderr.write(loaded.problems.map((problem) => `${formatProblem(problem)}\n`).join(''))
    process.exitCode = 1
    return
  }
  process.stderr.write(loaded.warnings.map((warning) => `${formatWarning(warning)}\n`).join(''))
  const { projects, registries } = loaded.site
  process.stdout.write(`good: ${projects.size} projects, ${registries.size} registries\n`)
}
