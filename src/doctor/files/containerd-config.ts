import { type Finding, mistakeAt } from '../findings.ts'
import type { Machine } from '../machine.ts'
import { at, fileInvalid, isTable, listOf, parseToml } from './toml.ts'

export const containerdConfig = '/etc/containerd/config.toml'
export const hostsFolder = '/etc/containerd/certs.d'

/** What config.toml says of registries, its imports included. */
export interface ContainerdSettings {
  /** Folders of hosts.toml. */
  configPath: string[]
  /** `registry.configs` of 1.x. */
  configs: Record<string, unknown>
  hasMirrors: boolean
  /** 2: containerd 1.x; 3: containerd 2. */
  version: number
  isThere: boolean
}

const tables: Readonly<Record<number, readonly string[]>> = {
  1: ['plugins', 'cri', 'registry'],
  2: ['plugins', 'io.containerd.grpc.v1.cri', 'registry'],
  3: ['plugins', 'io.containerd.cri.v1.images', 'registry'],
}

/** Settings, and what is wrong with them. Files that are missing say nothing. */
export async function readContainerd(
  machine: Machine,
): Promise<{ settings: ContainerdSettings; findings: Finding[] }> {
  const settings: ContainerdSettings = {
    configPath: [],
    configs: {},
    hasMirrors: false,
    version: 1,
    isThere: false,
  }
  const findings: Finding[] = []
  const queue = [containerdConfig]
  for (const path of queue) {
    const read = await machine.read(path)
    if (read.kind !== 'text') continue
    settings.isThere = true
    const parsed = parseToml(read.text, 'containerd')
    if ('mistake' in parsed) {
      findings.push(mistakeAt(path, parsed.mistake))
      continue
    }
    const { table } = parsed
    if (path === containerdConfig) settings.version = Number(at(table, 'version') ?? 1)
    const registry = at(table, ...(tables[settings.version] ?? []))
    const configPath = at(registry, 'config_path')
    if (typeof configPath === 'string')
      settings.configPath.push(...configPath.split(':').filter((each) => each))
    if (isTable(at(registry, 'mirrors'))) settings.hasMirrors = true
    const configs = at(registry, 'configs')
    if (isTable(configs)) Object.assign(settings.configs, configs)
    if (path === containerdConfig) queue.push(...(await importsOf(machine, at(table, 'imports'))))
  }
  if (settings.hasMirrors && settings.configPath.length > 0)
    findings.push(
      mistakeAt(
        containerdConfig,
        fileInvalid(
          'containerd serves no kubelet with both registry.mirrors and config_path: one of them must go',
        ),
      ),
    )
  return { settings, findings }
}

/** hosts.toml that nobody reads: to a kubelet containerd gives a folder only when it is told which. */
export async function ignoredHosts(machine: Machine, settings: ContainerdSettings): Promise<Finding[]> {
  if (settings.configPath.includes(hostsFolder)) return []
  const names = await machine.list(hostsFolder)
  const reads = await Promise.all(names.map((name) => machine.read(`${hostsFolder}/${name}/hosts.toml`)))
  if (!reads.some(({ kind }) => kind !== 'absent')) return []
  const table = settings.version === 3 ? 'io.containerd.cri.v1.images' : 'io.containerd.grpc.v1.cri'
  return [
    mistakeAt(containerdConfig, {
      code: 'config-path-missing',
      what: `containerd does not read ${hostsFolder} for a kubelet: config_path does not name it`,
      advice: `add to ${containerdConfig}: [plugins."${table}".registry] config_path = "${hostsFolder}"${
        settings.isThere
          ? ''
          : ', with version = 2 before it (containerd 1.x), or version = 3 and io.containerd.cri.v1.images (containerd 2)'
      }; then restart containerd. (ctr reads it with --hosts-dir)`,
    }),
  ]
}

/** A star in the last part of a path stands for any name. */
async function importsOf(machine: Machine, imports: unknown): Promise<string[]> {
  const found: string[] = []
  for (const each of listOf(imports)) {
    if (typeof each !== 'string' || !each.startsWith('/')) continue
    const slash = each.lastIndexOf('/')
    const [before = '', after] = each.slice(slash + 1).split('*')
    const names = after === undefined ? [before] : await machine.list(each.slice(0, slash))
    const fits = (name: string) => after === undefined || (name.startsWith(before) && name.endsWith(after))
    found.push(...names.filter(fits).map((name) => `${each.slice(0, slash)}/${name}`))
  }
  return found
}
