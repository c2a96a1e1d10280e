import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { formatBackup } from '../admin/format.ts'
import { configOf, interrupted, jsonLine, type Output } from './context.ts'

export function addBackup(program: Command): void {
  program
    .command('backup')
    .description('copy what is stored, as it is now, to an empty folder; a node may be at work on it')
    .argument('<folder>', 'a data folder afterwards, for OUTPORT_DATA')
    .option('--json', 'for scripts')
    .action(backup)
}

async function backup(folder: string, { json }: Output): Promise<void> {
  const { data } = configOf()
  if (!existsSync(data)) throw new Error(`there is no data: no folder ${data}`)
  const { backUp } = await import('../jobs/backup.ts')
  const target = resolve(folder)
  const done = await backUp(data, target, interrupted())
  process.stdout.write(json ? jsonLine(done) : formatBackup(done, target))
}
