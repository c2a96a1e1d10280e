import { Command } from 'commander'
import { addBackup } from './cli/backup.ts'
import { addCompletion } from './cli/completion.ts'
import { version } from './cli/context.ts'
import { addDoctor } from './cli/doctor.ts'
import { addEvict } from './cli/evict.ts'
import { addExplain } from './cli/explain.ts'
import { addExport } from './cli/export.ts'
import { addFsck } from './cli/fsck.ts'
import { addGc } from './cli/gc.ts'
import { addImport } from './cli/import.ts'
import { addLs } from './cli/ls.ts'
import { addPin } from './cli/pin.ts'
import { addPolicy } from './cli/policy.ts'
import { addPull } from './cli/pull.ts'
import { addServe } from './cli/serve.ts'
import { addStatus } from './cli/status.ts'
import { addTls } from './cli/tls.ts'
import { EnvironmentError } from './config/config.ts'
import { settings } from './config/settings.ts'
import { errorCodeOf } from './flow/error-code.ts'
import { messageOf } from './flow/message-of.ts'

const program = new Command('outport')
  .description('An edge registry for container images')
  .version(version)
  .showHelpAfterError('(outport --help lists the commands)')
  .addHelpText('after', `\nSettings, by environment variable:\n${settingsTable()}`)

const commands = [
  ...[addServe, addPolicy, addStatus, addDoctor, addLs, addExplain, addPull, addEvict, addPin],
  ...[addGc, addFsck, addBackup, addImport, addExport, addTls, addCompletion],
]
for (const add of commands) add(program)

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

function linesOf(error: unknown): readonly string[] {
  if (error instanceof EnvironmentError) return error.problems
  return messageOf(error).split('\n')
}

function settingsTable(): string {
  const width = Math.max(...settings.map(({ name }) => name.length))
  return settings.map((each) => `  ${each.name.padEnd(width)}  ${each.meaning} (${each.default})\n`).join('')
}
