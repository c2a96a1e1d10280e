import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { EnvironmentError } from './config/config.ts'
import { settings } from './config/settings.ts'
import { configOf, policyLoader, serve } from './main.ts'
import { formatProblem, formatWarning } from './policy/problem.ts'
import { policySchema } from './policy/schema.ts'

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))

const program = new Command('outport')
  .description('An edge registry for container images')
  .version(version)
  .showHelpAfterError('(outport --help lists the commands)')
  .addHelpText('after', `\nSettings, by environment variable:\n${settingsTable()}`)

program
  .command('serve')
  .description('answer pulls until told to stop (SIGTERM); SIGHUP reads policies and certificates again')
  .action(() => serve(version))

const policy = program.command('policy').description('what this site does, as its policies say it')

policy
  .command('check')
  .description('read the policies and say what is wrong with them')
  .argument('[folder]', 'instead of OUTPORT_POLICIES')
  .action(check)

policy
  .command('schema')
  .description('print the JSON schema of policy documents, for editors')
  .action(() => {
    process.stdout.write(`${JSON.stringify(policySchema(), null, 2)}\n`)
  })

try {
  await program.parseAsync()
} catch (error) {
  process.stderr.write(
    `${linesOf(error)
      .map((line) => `outport: ${line}`)
      .join('\n')}\n`,
  )
  process.exitCode = 1
}

async function check(folder: string | undefined): Promise<void> {
  const loaded = await policyLoader(configOf(), folder)()
  if ('problems' in loaded) {
    process.stderr.write(loaded.problems.map((problem) => `${formatProblem(problem)}\n`).join(''))
    process.exitCode = 1
    return
  }
  process.stderr.write(loaded.warnings.map((warning) => `${formatWarning(warning)}\n`).join(''))
  const { projects, registries } = loaded.site
  process.stdout.write(`good: ${projects.size} projects, ${registries.size} registries\n`)
}

function linesOf(error: unknown): readonly string[] {
  if (error instanceof EnvironmentError) return error.problems
  return (error instanceof Error ? error.message : String(error)).split('\n')
}

function settingsTable(): string {
  const width = Math.max(...settings.map(({ name }) => name.length))
  return settings.map((each) => `  ${each.name.padEnd(width)}  ${each.meaning} (${each.default})\n`).join('')
}
