import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { describe } from 'vitest'

const hasNamespaces = canMakeNamespaces()

/** Where `.ci/install` puts what it builds: the clients that Debian has only in old versions. */
const toolFolder = join(process.env.OUTPORT_TOOLS ?? '/opt/outport-tools', 'bin')
const system = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

/** A program, and which of its versions: `new` is built from source, `old` is Debian's. */
const tools = {
  docker: { names: ['docker'], folders: pathFolders() },
  'dockerd (old)': { names: ['dockerd'], folders: system },
  'dockerd (new)': { names: ['dockerd', 'containerd', 'containerd-shim-runc-v2'], folders: [toolFolder] },
  'containerd (old)': { names: ['containerd'], folders: system },
  'containerd (new)': { names: ['containerd', 'containerd-shim-runc-v2'], folders: [toolFolder] },
  ctr: { names: ['ctr'], folders: [toolFolder] },
  runc: { names: ['runc'], folders: system },
  podman: { names: ['podman'], folders: pathFolders() },
  buildah: { names: ['buildah'], folders: pathFolders() },
  skopeo: { names: ['skopeo'], folders: pathFolders() },
  crane: { names: ['crane'], folders: [toolFolder, ...pathFolders()] },
  regctl: { names: ['regctl'], folders: [toolFolder, ...pathFolders()] },
  helm: { names: ['helm'], folders: [toolFolder, ...pathFolders()] },
  cosign: { names: ['cosign'], folders: [toolFolder, ...pathFolders()] },
  'distribution v3': { names: ['registry'], folders: [toolFolder] },
  curl: { names: ['curl'], folders: pathFolders() },
  strace: { names: ['strace'], folders: pathFolders() },
  openssl: { names: ['openssl'], folders: pathFolders() },
  faketime: { names: ['faketime'], folders: pathFolders() },
  'mkfs.ext4': { names: ['mkfs.ext4'], folders: system },
  mkfifo: { names: ['mkfifo'], folders: pathFolders() },
  python3: { names: ['python3'], folders: pathFolders() },
  'systemd-analyze': { names: ['systemd-analyze'], folders: pathFolders() },
  nginx: { names: ['nginx'], folders: pathFolders() },
  tar: { names: ['tar'], folders: pathFolders() },
  'docker-registry': { names: ['docker-registry'], folders: pathFolders() },
} satisfies Record<string, { names: [string, ...string[]]; folders: string[] }>

/** `namespaces`: root on Linux, with unshare and nsenter. */
export type Tool = keyof typeof tools | 'namespaces'

/** The folders a program of the new or the old world looks in for its own helpers. */
export const paths = {
  new: [toolFolder, ...system].join(delimiter),
  old: system.join(delimiter),
}

/** @returns the program's path, `undefined` when this machine does not have it (with all it needs beside it). */
export function findTool(tool: Exclude<Tool, 'namespaces'>): string | undefined {
  const { names, folders } = tools[tool]
  const found = names.map((name) => folders.map((folder) => join(folder, name)).find(isProgram))
  return found.includes(undefined) ? undefined : found[0]
}

/** @throws when the machine does not have it: for use where {@link describeWith} has asked before. */
export function toolPath(tool: Exclude<Tool, 'namespaces'>): string {
  const path = findTool(tool)
  if (path === undefined) throw new Error(`${tool} is not installed`)
  return path
}

/** A `describe` that is skipped by name where a tool is missing; under OUTPORT_REQUIRE_TOOLS=1 that is an error. */
export function describeWith(needed: readonly Tool[], title: string, body: () => void): void {
  const missing = needed.filter((tool) => (tool === 'namespaces' ? !hasNamespaces : !findTool(tool)))
  if (missing.length === 0) {
    describe(title, body)
    return
  }
  const reason = missing.map(reasonOf).join(', ')
  if (process.env.OUTPORT_REQUIRE_TOOLS === '1') throw new Error(`${title}: ${reason}`)
  describe.skip(`${title} (${reason})`, body)
}

function reasonOf(tool: Tool): string {
  return tool === 'namespaces' ? 'no right to make namespaces' : `${tool} is not installed`
}

/** Root in a container may still not be allowed to. */
function canMakeNamespaces(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false
  const tried = spawnSync('unshare', ['--mount', '--pid', '--fork', '--mount-proc', 'nsenter', '--version'])
  return tried.status === 0
}

function pathFolders(): string[] {
  return [...new Set([...(process.env.PATH ?? '').split(delimiter), ...system])].filter(
    (folder) => folder !== '',
  )
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
