import { existsSync, readFileSync } from 'node:fs'
import { findPackageJSON } from 'node:module'
import { hostname } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { InvalidArgumentError } from 'commander'
import { commandsAt, isListening } from '../admin/client.ts'
import type { Commands } from '../admin/commands.ts'
import { socketName } from '../admin/socket.ts'
import type { Config } from '../config/config.ts'
import { readEnvironment } from '../config/environment.ts'

/** Of this program, wherever the file that runs is in it. */
const manifest = findPackageJSON(import.meta.url) ?? ''

export const { version }: { version: string } = JSON.parse(readFileSync(manifest, 'utf8'))

/** Of commands that also speak to scripts. */
export interface Output {
  json?: boolean
}

/** Read only when it is needed: who asks a running node wants the answer at once. */
export function main() {
  return import('../main.ts')
}

/** @throws EnvironmentError */
export function configOf(): Config {
  const directory = process.cwd()
  return readEnvironment(process.env, { hostname: hostname(), directory, policies: policiesFrom(directory) })
}

/** Those of the folder it runs in; where that has none, those that come with the program. */
function policiesFrom(directory: string): string {
  const own = resolve(directory, 'policies')
  return existsSync(own) ? own : join(dirname(manifest), 'policies')
}

/** Those of the node that runs on this data. Each throws in one line where none does. */
export function commandsOfNode(): Commands {
  return commandsAt(join(configOf().data, socketName))
}

/** Those of the node that runs on this data; where none runs, of one that only lives for them. */
export async function withCommands(work: (commands: Commands) => Promise<void>): Promise<void> {
  const { data } = configOf()
  const socket = join(data, socketName)
  if (await isListening(socket)) return work(commandsAt(socket))
  if (!existsSync(data)) throw new Error(`there is no data: no folder ${data}`)
  await using server = await (await main()).openOffline(configOf(), version)
  await work(server.commands)
}

/** Ends when somebody presses Ctrl-C. */
export function interrupted(): AbortSignal {
  const stop = new AbortController()
  process.once('SIGINT', () => stop.abort(new Error('interrupted')))
  return stop.signal
}

/** Below the help of a command. */
export function example(line: string): string {
  return `\nExample:\n  ${line}`
}

export function jsonLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`
}

/** Reads an option's value by `parse`, whose SyntaxError says what was expected. */
export function valueBy<Value>(parse: (text: string) => Value): (text: string) => Value {
  return (text) => {
    try {
      return parse(text)
    } catch (error) {
      if (error instanceof SyntaxError) throw new InvalidArgumentError(`Expected ${error.message}.`)
      throw error
    }
  }
}
