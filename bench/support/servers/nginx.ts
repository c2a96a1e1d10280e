import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findProgram, versionOf } from '../programs.ts'
import type { Server } from './server.ts'

/** Plain files from `root` with sendfile(2): about what the machine can do. No registry and no mirror. */
export async function nginx(root: string): Promise<Server | undefined> {
  const program = findProgram('nginx')
  if (program === undefined) return undefined
  return {
    name: 'nginx (file)',
    version: await versionOf(program, '-v'),
    async prepare({ port, folder }) {
      const config = join(folder, 'nginx.conf')
      await writeFile(config, configOf(root, port, folder))
      return { program, args: ['-e', 'stderr', '-p', folder, '-c', config] }
    },
  }
}

function configOf(root: string, port: number, folder: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `${kind}_temp_path ${join(folder, kind)};`,
  )
  return `daemon off;
master_process off;
pid ${join(folder, 'nginx.pid')};
events {}
http {
  access_log off;
  sendfile on;
  ${temporary.join(' ')}
  server {
    listen 127.0.0.1:${port};
    root ${root};
    location = /v2/ { return 200 '{}'; }
  }
}
`
}
