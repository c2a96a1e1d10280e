import { parseDocument } from 'yaml'
import type { Authorities } from '../clients/client.ts'
import type { Mistake } from '../findings.ts'
import type { Machine } from '../machine.ts'
import { take } from './hosts-authorities.ts'
import { at, fileInvalid, isTable, listOf } from './toml.ts'

export const k3sRegistries = '/etc/rancher/k3s/registries.yaml'

export function k3sMistakes(text: string): Mistake[] {
  const document = parseDocument(text)
  const [error] = document.errors
  if (error) return [fileInvalid(`k3s cannot read it: ${error.message.split('\n')[0]}`)]
  const mirrors = at(document.toJS(), 'mirrors')
  if (mirrors === undefined || mirrors === null) return []
  if (!isTable(mirrors)) return [fileInvalid('mirrors must map names of registries to endpoints')]
  return Object.entries(mirrors).flatMap(([name, mirror]) => {
    const endpoints = at(mirror, 'endpoint')
    if (endpoints !== undefined && !Array.isArray(endpoints))
      return [fileInvalid(`endpoint of ${name} must be a list`)]
    return listOf(endpoints)
      .filter((each) => typeof each !== 'string' || !/^https?:\/\//.test(each))
      .map((each) =>
        fileInvalid(`the endpoint ${JSON.stringify(each)} of ${name} must begin with http:// or https://`),
      )
  })
}

/** What `ca_file` of registries.yaml names for this door. */
export async function k3sAuthorities(machine: Machine, door: URL): Promise<Authorities> {
  const found: Authorities = { pems: [], misplaced: [] }
  const read = await machine.read(k3sRegistries)
  if (read.kind !== 'text') return found
  const document = parseDocument(read.text)
  if (document.errors.length > 0) return found
  const file = at(document.toJS(), 'configs', door.host, 'tls', 'ca_file')
  if (typeof file === 'string') await take(machine, file, k3sRegistries, found)
  return found
}
