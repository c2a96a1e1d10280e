import type { ClientFile } from './client-file.ts'
import { containerdFiles } from './containerd.ts'
import { containerd1Files } from './containerd-1.ts'
import { dockerFiles } from './docker.ts'
import { k3sFiles } from './k3s.ts'
import type { NodeAddress } from './node-address.ts'
import { podmanFiles } from './podman.ts'

const makers = {
  docker: dockerFiles,
  containerd: containerdFiles,
  'containerd-1': containerd1Files,
  podman: podmanFiles,
  k3s: k3sFiles,
}

export type SettingsName = keyof typeof makers
export const settingsNames = Object.keys(makers) as SettingsName[]

/** The files by which a client is told of a node; none where no door of it suits that client. */
export function clientFiles(name: SettingsName, node: NodeAddress): ClientFile[] {
  return makers[name](node)
}

/** All of them for people: each under the path it belongs to. */
export function formatFiles(files: readonly ClientFile[]): string {
  return files
    .map(({ path, text }) => (text.startsWith(`# ${path}`) ? text : `# ${path}\n${text}`))
    .join('\n')
}
