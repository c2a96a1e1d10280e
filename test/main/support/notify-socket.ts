import { join } from 'node:path'
import { createJournal, type LogLine, plainEnvironment, startNode } from '../../support/node-process.ts'
import { toolPath } from '../../support/tools.ts'

/** The end of systemd: a unix datagram socket, which Node cannot make. */
export interface NotifySocket extends AsyncDisposable {
  /** Each datagram with its assignments, in the order they came. */
  readonly told: readonly LogLine[]
}

export async function openNotifySocket(address: string): Promise<NotifySocket> {
  const journal = createJournal()
  const program = toolPath('python3')
  const script = join(import.meta.dirname, 'notify-socket.py')
  const receiver = await startNode([script, address], plainEnvironment(), journal, { program })
  await journal.first(({ msg }) => msg === 'bound', 0)
  return {
    get told() {
      return journal.lines.filter(({ msg }) => msg === 'told')
    },
    async [Symbol.asyncDispose]() {
      await receiver.end('SIGKILL')
    },
  }
}
