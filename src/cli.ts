import { existsSync, readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { commandsAt, isListening } from './admin/client.ts'
import type { Commands } from './admin/commands.ts'
import {
  clearLine,
  formatFinding,
  formatImage,
  formatProgress,
  formatStatus,
  imageHeading,
} from './admin/format.ts'
import { socketName } from './admin/socket.ts'
import { type Config, EnvironmentError } from './config/config.ts'
import { readEnvironment } from './config/environment.ts'
import { settings } from './config/settings.ts'
import { errorCodeOf } from './flow/error-code.ts'
import { parsePattern } from './oci/pattern.ts'
import { formatProblem, formatWarning } from './policy/problem.ts'

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))

const program = new Command('outport')
  .description('An edge registry for container images')
  .version(version)
  .showHelpAfterError('(outport --help lists the commands)')
  .addHelpText('after', `\nSettings, by environment variable:\n${settingsTable()}`)

program
  .command('serve')
  .description('answer pulls until told to stop (SIGTERM); SIGHUP reads policies and certificates again')
  .action(async () => (await main()).serve(configOf(), version))

const policy = program.command('policy').description('what this site does, as its policies say it')

policy
  .command('check')
  .description('read the policies and say what is wrong with them')
  .argument('[folder]', 'instead of OUTPORT_POLICIES')
  .action(checkPolicies)

policy
  .command('schema')
  .description('print the JSON schema of policy documents, for editors')
  .action(async () => {
    const { policySchema } = await import('./policy/schema.ts')
    process.stdout.write(`${JSON.stringify(policySchema(), null, 2)}\n`)
  })

program
  .command('status')
  .description('how the node on this data is doing')
  .option('--json', 'for scripts')
  .action(status)

program
  .command('ls')
  .description('the images that are here, and what of them is')
  .argument('[pattern]', 'only repositories such as docker.io/library/**')
  .option('--json', 'a line of JSON for each')
  .action(list)

program
  .command('fsck')
  .description(
    'read everything that is stored and say what is not right; exit code 1 when something is left so',
  )
  .option('--repair', 'fetch it again, only what is wrong of it')
  .option('--json', 'a line of JSON for each finding, and one at the end')
  .action(check)

// Who reads no further, as `head`, wants no more.
process.stdout.on('error', (error) => process.exit(errorCodeOf(error) === 'EPIPE' ? 0 : 1))

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

async function checkPolicies(folder: string | undefined): Promise<void> {
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

/** Read only when it is needed: who asks a running node wants the answer at once. */
function main() {
  return import('./main.ts')
}

/** @throws EnvironmentError */
function configOf(): Config {
  return readEnvironment(process.env, { hostname: hostname(), directory: process.cwd() })
}

interface Output {
  json?: boolean
}

async function status({ json }: Output): Promise<void> {
  const said = await commandsAt(join(configOf().data, socketName)).status()
  process.stdout.write(json ? jsonLine(said) : formatStatus(said))
}

async function list(text: string | undefined, { json }: Output): Promise<void> {
  const matches = text === undefined ? () => true : parsePattern(text)
  await withCommands(async (commands) => {
    if (!json) process.stdout.write(imageHeading)
    for await (const page of commands.images(interrupted())) {
      const wanted = page.filter(({ repository }) => matches(repository))
      const now = Date.now()
      process.stdout.write(wanted.map((image) => (json ? jsonLine(image) : formatImage(image, now))).join(''))
    }
  })
}

async function check({ repair = false, json }: Output & { repair?: boolean }): Promise<void> {
  await withCommands(async (commands) => {
    for await (const event of commands.fsck(repair, interrupted())) {
      if (process.stderr.isTTY)
        process.stderr.write(event.kind === 'progress' ? formatProgress(event) : clearLine)
      if (event.kind === 'progress') continue
      process.stdout.write(json ? jsonLine(event) : formatFinding(event))
      if (event.kind === 'end' && event.rotten + event.absent + event.unknown > event.mended)
        process.exitCode = 1
    }
  })
}

/** Those of the node that runs on this data; where none runs, of one that only lives for them. */
async function withCommands(work: (commands: Commands) => Promise<void>): Promise<void> {
  const { data } = configOf()
  const socket = join(data, socketName)
  if (await isListening(socket)) return work(commandsAt(socket))
  if (!existsSync(data)) throw new Error(`there is no data: no folder ${data}`)
  await using server = await (await main()).openOffline(configOf(), version)
  await work(server.commands)
}

function interrupted(): AbortSignal {
  const stop = new AbortController()
  process.once('SIGINT', () => stop.abort(new Error('interrupted')))
  return stop.signal
}

function jsonLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`
}

function linesOf(error: unknown): readonly string[] {
  if (error instanceof EnvironmentError) return error.problems
  return (error instanceof Error ? error.message : String(error)).split('\n')
}

function settingsTable(): string {
  const width = Math.max(...settings.map(({ name }) => name.length))
  return settings.map((each) => `  ${each.name.padEnd(width)}  ${each.meaning} (${each.default})\n`).join('')
}
