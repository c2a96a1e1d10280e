import { Argument, type Command } from 'commander'
import { bashScript, type CompletedCommand, fishScript, zshScript } from './completion-scripts.ts'
import { commandsOfNode, example } from './context.ts'

const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript } as const

/** What the arguments of a command are names of. */
const named: Readonly<Record<string, CompletedCommand['names']>> = {
  ...{ pull: 'images', evict: 'images', explain: 'images' },
  ...{ ls: 'repositories', pin: 'repositories' },
}

/** A shell waits for it with every press of the key. */
const patienceMs = 2_000

export function addCompletion(program: Command): void {
  program
    .command('completion')
    .description('print what completes these commands in a shell, with the images that a running node has')
    .addArgument(new Argument('<shell>').choices(Object.keys(scripts)))
    .addHelpText('after', example('source <(outport completion bash)'))
    .action((shell: keyof typeof scripts) => {
      process.stdout.write(scripts[shell](commandsOf(program)))
    })

  program
    .command('completion-names', { hidden: true })
    .addArgument(new Argument('<what>').choices(['images', 'repositories']))
    .action(printNames)
}

/** Of a node that runs: none is started for that, and none is missed. */
async function printNames(what: 'images' | 'repositories'): Promise<void> {
  try {
    let last: string | undefined
    for await (const page of commandsOfNode().images({}, AbortSignal.timeout(patienceMs)))
      for (const { repository, tag } of page) {
        const name = what === 'images' ? `${repository}:${tag}` : repository
        if (name !== last) process.stdout.write(`${name}\n`)
        last = name
      }
  } catch {
    // Whoever wants to know why asks with ls.
  }
}

function commandsOf(program: Command, path = ''): CompletedCommand[] {
  const visible = program
    .createHelp()
    .visibleCommands(program)
    .filter((each) => each.name() !== 'help')
  const own: CompletedCommand = {
    path: [path],
    summary: program.description(),
    words: visible.flatMap((each) => [each.name(), ...each.aliases()]),
    choices: program.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
    options: program
      .createHelp()
      .visibleOptions(program)
      .flatMap(({ long, description, required }) =>
        long ? [{ long, description, hasValue: required }] : [],
      ),
    names: named[program.name()],
  }
  const below = visible.flatMap((each) => {
    const [first, ...rest] = commandsOf(each, `${path}/${each.name()}`)
    const aliases = each.aliases().map((alias) => `${path}/${alias}`)
    return first ? [{ ...first, path: [...first.path, ...aliases] }, ...rest] : []
  })
  return [own, ...below]
}
