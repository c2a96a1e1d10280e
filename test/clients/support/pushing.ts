import type { Tool } from '../../support/tools.ts'
import type { Machine } from './machine.ts'
import type { PushSite } from './push-site.ts'
import { containersPushing, skopeoPushing } from './pushing-containers.ts'
import { dockerPushing } from './pushing-docker.ts'
import { cranePushing, regctlPushing } from './pushing-tools.ts'

/** A container client that has logged in as somebody who may push. Its names are whole: `host/repository:tag`. */
export interface Pushing {
  /** Brings an image under another name. @returns the digest that it says it has pushed */
  copy(from: string, to: string): Promise<string>
  /** @returns the digests under which it has it now */
  pull(image: string): Promise<string[]>
  /** Makes an index of two images of its repository and pushes it. @returns its digest */
  join?(images: readonly [string, string], to: string): Promise<string>
  tags?(repository: string): Promise<string[]>
  /** Of the whole site. */
  repositories?(): Promise<string[]>
  /** Takes a tag or a digest away from the registry. */
  remove?(image: string): Promise<unknown>
}

export interface PushClient {
  name: string
  needs: readonly Tool[]
  start(machine: Machine, site: PushSite): Promise<Pushing>
  /** What it copies is, byte for byte, what it was: the index, or the image of this platform. */
  keeps?: 'index' | 'image'
  /** It can push under a digest. */
  pushesDigests?: boolean
}

export const pushClients: readonly PushClient[] = [
  {
    name: 'Docker Engine 20.10',
    needs: ['docker', 'dockerd (old)', 'containerd (old)', 'runc'],
    start: (machine, site) => dockerPushing(machine, site, 'old'),
  },
  {
    name: 'Docker Engine 29',
    needs: ['docker', 'dockerd (new)', 'runc'],
    start: (machine, site) => dockerPushing(machine, site, 'new'),
    keeps: 'image',
  },
  {
    name: 'podman',
    needs: ['podman'],
    start: (machine, site) => containersPushing(machine, site, 'podman'),
  },
  {
    name: 'buildah',
    needs: ['buildah'],
    start: (machine, site) => containersPushing(machine, site, 'buildah'),
  },
  { name: 'skopeo', needs: ['skopeo'], start: skopeoPushing, keeps: 'index', pushesDigests: true },
  { name: 'crane', needs: ['crane'], start: cranePushing, keeps: 'index', pushesDigests: true },
  { name: 'regctl', needs: ['regctl'], start: regctlPushing, keeps: 'index', pushesDigests: true },
]
