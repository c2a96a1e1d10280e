import { join } from 'node:path'

/** What `outport tls init` makes, and a node with an https door uses that is told of no other. */
export interface OwnFiles {
  readonly folder: string
  /** The authority's certificate: what clients need. */
  readonly ca: string
  readonly caKey: string
  readonly cert: string
  readonly key: string
}

/** @param data the folder a node keeps its data in */
export function ownFilesOf(data: string): OwnFiles {
  const folder = join(data, 'tls')
  return {
    folder,
    ca: join(folder, 'ca.crt'),
    caKey: join(folder, 'ca.key'),
    cert: join(folder, 'server.crt'),
    key: join(folder, 'server.key'),
  }
}
