import type { Command } from 'commander'
import { configOf, example, main, version } from './context.ts'

export function addServe(program: Command): void {
  program
    .command('serve')
    .description('answer pulls until told to stop (SIGTERM); SIGHUP reads policies and certificates again')
    .addHelpText('after', example('OUTPORT_LISTEN=:5000 outport serve'))
    .action(async () => (await main()).serve(configOf(), version))
}
