import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type MirrorOverrides, mirrorPolicies } from '../../../test/support/mirror-policy.ts'
import type { Server } from './server.ts'

export interface OutportOptions {
  name?: string
  /** The command of an installation, instead of this checkout. */
  command?: string
  /** Folder of compiled code; default that of the checkout. */
  compileCache?: string
  /** Folder for a CPU profile, written when it ends. */
  profile?: string
  /** What its policies say beside where the upstream is. */
  policy?: MirrorOverrides
  /** Where it keeps its data, instead of a folder of its own. */
  data?: string
  env?: Readonly<Record<string, string>>
}

const root = join(import.meta.dirname, '../../..')

/** This checkout, as `npm start` runs it, or what was packed of it, with the access log off as that of the others. */
export async function outport(options: OutportOptions = {}): Promise<Server> {
  const { name = 'outport', command, compileCache, profile, policy, data, env } = options
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
  const profiling = profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', profile]
  return {
    name,
    version: `outport ${version}, node ${process.version}`,
    async prepare({ port, folder, upstream }) {
      const policies = join(folder, 'policies')
      await mkdir(policies)
      for (const [file, text] of Object.entries(
        mirrorPolicies({ url: upstream }, { registry: { segments: 'auto' }, ...policy }),
      ))
        await writeFile(join(policies, file), text)
      return {
        program: command ?? process.execPath,
        args: command === undefined ? [...profiling, join(root, 'outport.js'), 'serve'] : ['serve'],
        env: {
          OUTPORT_LISTEN: `127.0.0.1:${port}`,
          OUTPORT_DATA: data ?? join(folder, 'data'),
          OUTPORT_POLICIES: policies,
          OUTPORT_LOG_LEVEL: process.env.OUTPORT_LOG_LEVEL ?? 'warn',
          ...env,
          ...(compileCache !== undefined && { NODE_COMPILE_CACHE: compileCache }),
        },
      }
    },
  }
}
