/** A command as a shell completes it. */
export interface CompletedCommand {
  /** `''` for the program, `/policy/check` below it; the same under its aliases. */
  path: string[]
  summary: string
  /** Its commands. */
  words: string[]
  /** What its arguments can only be. */
  choices: string[]
  options: { long: string; description: string; hasValue: boolean }[]
  /** What its arguments name. */
  names?: 'images' | 'repositories' | undefined
}

const platforms = 'linux/amd64 linux/arm64 linux/arm/v7'

/** For bash from 3.2 on. Words are taken from the line, because bash divides them at colons. */
export function bashScript(commands: readonly CompletedCommand[]): string {
  return `# bash completion for outport: source <(outport completion bash)
_outport() {
  local line="\${COMP_LINE:0:COMP_POINT}" at="" word known="" names=""
  local -a said
  read -ra said <<<"$line"
  [[ "$line" == *[[:space:]] ]] && said+=("")
  local count=\${#said[@]}
  local current="\${said[count-1]}" before="\${said[count-2]}"
  for word in "\${said[@]:1:count-2}"; do
    case "$at/$word" in
      ${pathsOf(commands).join('|')}) at="$at/$word" ;;
    esac
  done
  COMPREPLY=()
  case "$before" in
    --platform) known="${platforms}" ;;
    ${valuesOf(commands).join('|')}) return ;;
    *)
      case "$at" in
${commands.map((each) => `        ${each.path.map(quoted).join('|')}) known=${quoted(wordsOf(each))}${each.names ? ` names=${each.names}` : ''} ;;`).join('\n')}
      esac
      ;;
  esac
  [[ -n "$names" && "$current" != -* ]] && known="$known $(outport completion-names "$names" 2>/dev/null)"
  COMPREPLY=($(compgen -W "$known" -- "$current"))
  if [[ "$current" == *:* && "$COMP_WORDBREAKS" == *:* ]]; then
    COMPREPLY=("\${COMPREPLY[@]#"\${current%"\${current##*:}"}"}")
  fi
}
complete -o default -F _outport outport
`
}

export function zshScript(commands: readonly CompletedCommand[]): string {
  return `#compdef outport
# zsh completion for outport: source <(outport completion zsh)
_outport() {
  local at="" word names=""
  local -a known
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$at/$word" in
      (${pathsOf(commands).join('|')}) at="$at/$word" ;;
    esac
  done
  case "\${words[CURRENT-1]}" in
    (--platform) known=(${platforms}) ;;
    (${valuesOf(commands).join('|')}) _files; return ;;
    (*)
      case "$at" in
${commands.map((each) => `        (${each.path.map(quoted).join('|')}) known=(${wordsOf(each)})${each.names ? ` names=${each.names}` : ''} ;;`).join('\n')}
      esac
      ;;
  esac
  if [[ -n "$names" && "$PREFIX" != -* ]]; then
    known+=(\${(f)"$(outport completion-names "$names" 2>/dev/null)"})
  fi
  compadd -a known || _files
}
compdef _outport outport
`
}

export function fishScript(commands: readonly CompletedCommand[]): string {
  const lines = commands.flatMap((command) => {
    const { path, words, choices, options, names } = command
    const where = quoted(conditionOf(path, words))
    return [
      ...words.map(
        (word) =>
          `complete -c outport -f -n ${where} -a ${word} -d ${quoted(summaryOf(commands, path, word))}`,
      ),
      ...options.map(
        ({ long, description, hasValue }) =>
          `complete -c outport -n ${where} -l ${long.slice(2)}${hasValue ? ' -r' : ''} -d ${quoted(description)}`,
      ),
      ...choices.map((choice) => `complete -c outport -f -n ${where} -a ${choice}`),
      ...(names ? [`complete -c outport -f -n ${where} -a '(outport completion-names ${names})'`] : []),
    ]
  })
  return `# fish completion for outport: outport completion fish | source\n${lines.join('\n')}\n`
}

/** Where one of its own commands has not been said yet. */
function conditionOf(path: readonly string[], words: readonly string[]): string {
  const isBefore = words.length > 0 ? `not __fish_seen_subcommand_from ${words.join(' ')}` : ''
  const steps = path[0] === '' ? [] : stepsOf(path)
  return [...steps.map((names) => `__fish_seen_subcommand_from ${names}`), isBefore]
    .filter(Boolean)
    .join('; and ')
}

/** `['/pull', '/warm']` → `['pull warm']`, `['/policy/check']` → `['policy', 'check']` */
function stepsOf(path: readonly string[]): string[] {
  const ways = path.map((each) => each.slice(1).split('/'))
  return (ways[0] ?? []).map((_, depth) => [...new Set(ways.map((way) => way[depth]))].join(' '))
}

function summaryOf(
  commands: readonly CompletedCommand[],
  [path = '']: readonly string[],
  word: string,
): string {
  return commands.find((each) => each.path.includes(`${path}/${word}`))?.summary ?? ''
}

function pathsOf(commands: readonly CompletedCommand[]): string[] {
  return commands.flatMap(({ path }) => path).filter((path) => path !== '')
}

/** Options that something follows. */
function valuesOf(commands: readonly CompletedCommand[]): string[] {
  const all = commands.flatMap(({ options }) => options.filter(({ hasValue }) => hasValue))
  return [...new Set(all.map(({ long }) => long))].filter((long) => long !== '--platform')
}

function wordsOf({ words, choices, options }: CompletedCommand): string {
  return [...words, ...choices, ...options.map(({ long }) => long)].join(' ')
}

/** For all three shells, as long as no text has an apostrophe. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", '’')}'`
}
