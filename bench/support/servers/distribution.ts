import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findProgram, MissingProgramError, programPath, versionOf } from '../programs.ts'
import type { Place, Server } from './server.ts'

export const distributionName = 'distribution v3'

/** What the others are compared with. @param hosts it is pushed to, and mirrors nothing. @throws MissingProgramError */
export async function distribution(hosts = false): Promise<Server> {
  const program = programPath('registry', distributionName)
  const version = await versionOf(program)
  if (!/\bv3\.\d/.test(version))
    throw new MissingProgramError(`${distributionName} is not here: ${program} says "${version}"`)
  return registry(distributionName, program, version, hosts)
}

/** Debian's docker-registry, which is distribution 2.8. */
export async function dockerRegistry(): Promise<Server | undefined> {
  const program = findProgram('docker-registry')
  return program === undefined ? undefined : registry('docker-registry', program, await versionOf(program))
}

function registry(name: string, program: string, version: string, hosts = false): Server {
  return {
    name,
    version,
    async prepare(place) {
      const config = join(place.folder, 'config.yml')
      await writeFile(
        config,
        hosts ? configOf(place) : `${configOf(place)}proxy: { remoteurl: '${place.upstream}' }\n`,
      )
      return { program, args: ['serve', config], env: { OTEL_TRACES_EXPORTER: 'none' } }
    },
  }
}

/** The settings of its documentation, in files, without access log and telemetry. */
function configOf({ port, folder }: Place): string {
  return `version: 0.1
log: { level: error, accesslog: { disabled: true } }
storage:
  filesystem: { rootdirectory: ${join(folder, 'data')} }
http: { addr: '127.0.0.1:${port}' }
`
}
