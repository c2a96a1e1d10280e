import { readFile } from 'node:fs/promises'
import { homedir, hostname } from 'node:os'
import { getuid } from 'node:process'
import { type Command, InvalidArgumentError } from 'commander'
import { type Config, EnvironmentError } from '../config/config.ts'
import type { ClientName } from '../doctor/clients/client.ts'
import type { Finding } from '../doctor/findings.ts'
import type { SettingsName } from '../doctor/settings/client-settings.ts'
import { configOf, interrupted, jsonLine, main, type Output } from './context.ts'

interface DoctorFlags extends Output {
  image?: string
  client: string[]
  root: string
  ca?: string
  timeout: number
}

const connectMs = 5_000
/** However many doors and clients there are. */
const longestMs = 120_000

export function addDoctor(program: Command): void {
  const doctor = program
    .command('doctor')
    .description(
      'ask a node as docker, containerd, podman and others do, and say what is wrong; exit code 1 when something is',
    )
    .argument('[url]', 'a door as clients reach it, such as http://edge.example:5000 (the node on this data)')
    .option('--image <name>', 'ask for this one instead of one in the cache')
    .option(
      '--client <name>',
      'only as this client; may be repeated',
      (name, all: string[]) => [...all, name],
      [],
    )
    .option('--root <folder>', "where this machine's files begin", '/')
    .option('--ca <file>', 'trust these authorities too')
    .option('--timeout <seconds>', 'for an answer', parseSeconds, 10)
    .option('--json', 'a line of JSON for each finding, and one at the end')
    .action(diagnose)

  doctor
    .command('settings')
    .description('print the files that tell clients of this node')
    .argument('[client]', 'docker, containerd, containerd-1, podman or k3s', 'docker')
    .action((client, _, command: Command) => settings(client, command.optsWithGlobals()))
}

async function diagnose(address: string | undefined, flags: DoctorFlags): Promise<void> {
  const url = address === undefined ? undefined : parseDoor(address)
  const [{ diagnose: run }, { formatLine }, { parseImage }] = await Promise.all([
    import('../doctor/doctor.ts'),
    import('../doctor/format.ts'),
    import('../doctor/image.ts'),
  ])
  const image = flags.image === undefined ? undefined : parseImage(flags.image)
  const config = settingsOrMistakes()
  const print = (line: Parameters<typeof formatLine>[0]) =>
    process.stdout.write(flags.json ? jsonLine(line) : formatLine(line))
  if (Array.isArray(config)) {
    for (const line of config) print(line)
    print({ kind: 'end', mistakes: config.length, notes: 0 })
    process.exitCode = 1
    return
  }
  const { policyLoader } = await main()
  const lines = run({
    ...(url && { url }),
    ...(image && { image }),
    root: flags.root,
    only: await clientsNamed(flags.client),
    limits: { connectMs: Math.min(connectMs, flags.timeout * 1000), answerMs: flags.timeout * 1000 },
    authorities: await authoritiesOf(flags, config),
    user: { home: homedir(), uid: getuid?.() ?? 0 },
    local: { config, hostname: hostname(), loadPolicies: policyLoader(config) },
    signal: AbortSignal.any([interrupted(), AbortSignal.timeout(longestMs)]),
  })
  for await (const line of lines) {
    print(line)
    if (line.kind === 'end' && line.mistakes > 0) process.exitCode = 1
  }
}

function settingsOrMistakes(): Config | Finding[] {
  try {
    return configOf()
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error
    const advice = '`outport --help` lists the settings'
    return error.problems.map((what) => ({
      kind: 'mistake',
      where: 'settings',
      code: 'settings-wrong',
      what,
      advice,
    }))
  }
}

async function authoritiesOf(
  { ca }: DoctorFlags,
  { authorities }: Config,
): Promise<{ more: string[]; system?: string }> {
  const more = ca === undefined ? [] : [await readFile(ca, 'utf8')]
  return { more, ...(authorities !== undefined && { system: await readFile(authorities, 'utf8') }) }
}

async function clientsNamed(names: readonly string[]): Promise<ClientName[]> {
  const { clientNames } = await import('../doctor/clients/client.ts')
  return names.map((name) => {
    const found = clientNames.find((each) => each === name)
    if (!found) throw new Error(`there is no client ${name}; there are ${clientNames.join(', ')}`)
    return found
  })
}

async function settings(name: string, { json }: Output): Promise<void> {
  const [{ clientFiles, formatFiles, settingsNames }, { readNode }] = await Promise.all([
    import('../doctor/settings/client-settings.ts'),
    import('../doctor/node/read-node.ts'),
  ])
  const client: SettingsName | undefined = settingsNames.find((each) => each === name)
  if (!client)
    throw new Error(`there are no settings for ${name}; there are some for ${settingsNames.join(', ')}`)
  const config = configOf()
  const loaded = await (await main()).policyLoader(config)()
  if ('problems' in loaded) throw new Error('the policies are wrong: see `outport policy check`')
  const files = clientFiles(client, await readNode(config, loaded.site, hostname()))
  if (files.length === 0) throw new Error(`no door of this node is for ${client}`)
  process.stdout.write(json ? files.map(jsonLine).join('') : formatFiles(files))
}

function parseDoor(text: string): URL {
  const expected = 'the address of a door without a path, such as http://edge.example:5000'
  const isOrigin = /^https?:\/\/[^/?#\\@\s]+\/?$/i.test(text) && URL.canParse(text)
  if (!isOrigin) throw new Error(`expected ${expected}, found ${JSON.stringify(text.slice(0, 100))}`)
  return new URL(text)
}

function parseSeconds(text: string): number {
  const seconds = Number(text)
  if (!(seconds > 0 && seconds <= 60)) throw new InvalidArgumentError('expected seconds, 60 at most')
  return seconds
}
