import type { ReportLine } from './findings.ts'

const titleWidth = 32

/** For people: what is wrong, what its client does then, and what to do. */
export function formatLine(line: ReportLine): string {
  switch (line.kind) {
    case 'door': {
      const said = [line.face && `${line.face} door`, line.image].filter((each) => each)
      return `\n${line.door}${said.length === 0 ? '' : ` (${said.join(', ')})`}\n`
    }
    case 'client': {
      const title = `  ${line.title.padEnd(titleWidth)}`
      if (line.ok) return `${title}ok (${line.tested})\n`
      return `${title}${line.code}\n    ${line.what}\n    then ${line.consequence}\n    → ${line.advice}\n`
    }
    case 'mistake':
    case 'note':
      return `${line.kind === 'note' ? 'note: ' : ''}${line.where}: ${line.code}\n    ${line.what}\n    → ${line.advice}\n`
    case 'looked':
      return `\nfiles of this machine: ${line.read.join(' ') || 'none'}\n  not there: ${line.absent.join(' ') || 'none'}\n`
    case 'end':
      return line.mistakes === 0
        ? 'all is well\n'
        : `${line.mistakes} mistake${line.mistakes === 1 ? '' : 's'}\n`
    default:
      return line satisfies never
  }
}
