import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findProgram, versionOf } from '../programs.ts'
import type { Place, Server } from './server.ts'

/** nginx as a cache in front of a registry, with one fetch of what many ask for. It proves no digest. */
export async function nginxCache(): Promise<Server | undefined> {
  const program = findProgram('nginx')
  if (program === undefined) return undefined
  return {
    name: 'nginx (cache)',
    version: await versionOf(program, '-v'),
    async prepare(place) {
      const config = join(place.folder, 'nginx.conf')
      await writeFile(config, configOf(place))
      return { program, args: ['-e', 'stderr', '-p', place.folder, '-c', config] }
    },
  }
}

/** The lock's limits are raised: with nginx's 5 s whoever waits longer fetches for himself, uncached. */
function configOf({ port, folder, upstream }: Place): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `${kind}_temp_path ${join(folder, kind)};`,
  )
  return `daemon off;
master_process off;
pid ${join(folder, 'nginx.pid')};
events { worker_connections 4096; }
http {
  access_log off;
  sendfile on;
  ${temporary.join(' ')}
  proxy_cache_path ${join(folder, 'data')} levels=1:2 keys_zone=blobs:16m max_size=64g inactive=7d use_temp_path=off;
  server {
    listen 127.0.0.1:${port};
    location = /v2/ { return 200 '{}'; }
    location / {
      proxy_pass ${upstream};
      proxy_http_version 1.1;
      proxy_set_header Connection '';
      proxy_cache blobs;
      proxy_cache_valid 200 1h;
      proxy_cache_lock on;
      proxy_cache_lock_age 1h;
      proxy_cache_lock_timeout 1h;
      proxy_max_temp_file_size 16384m;
    }
  }
}
`
}
