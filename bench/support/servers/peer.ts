import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { mirrorPolicies } from '../../../test/support/mirror-policy.ts'
import type { Server } from './server.ts'

/**
 * Any other mirror, from `name=command`. The shell that runs the command knows `$PORT`, `$UPSTREAM` (an origin),
 * `$DATA` (an empty folder) and `$POLICIES` (a folder with Outport's policies for that upstream); `{port}`, `{upstream}`,
 * `{data}` and `{policies}` in it stand for the same.
 */
export function peerOf(text: string): Server {
  const [, name, command] = /^([^=]+)=(.+)$/s.exec(text) ?? []
  if (name === undefined || command === undefined)
    throw new SyntaxError(`--peer "${text}": it is name=command, such as zot='zot serve /etc/zot.json'`)
  return {
    name,
    version: command,
    async prepare({ port, folder, upstream }) {
      const [data, policies] = [join(folder, 'data'), join(folder, 'policies')]
      await Promise.all([data, policies].map((each) => mkdir(each)))
      for (const [file, content] of Object.entries(
        mirrorPolicies({ url: upstream }, { registry: { segments: 'auto' } }),
      ))
        await writeFile(join(policies, file), content)
      const known: Record<string, string> = { port: String(port), upstream, data, policies }
      return {
        program: '/bin/sh',
        args: ['-c', command.replace(/(?<!\$)\{(\w+)\}/g, (text, word) => known[word] ?? text)],
        env: { PORT: String(port), UPSTREAM: upstream, DATA: data, POLICIES: policies },
      }
    },
  }
}
