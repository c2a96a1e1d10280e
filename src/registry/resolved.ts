import type { Target } from '../projects/locate.ts'
import type { RegistryClients } from '../resolve/clients.ts'
import type { ResolvedRepository } from '../resolve/repository.ts'

/** What a request's target is to the resolvers: its upstream with the client for it, and its rules. */
export function createResolved(clients: RegistryClients): (target: Target) => ResolvedRepository {
  return ({ project, repository, upstream, asUpstream }) => {
    const first = upstream && clients.get(upstream.registry.name)
    return {
      repository,
      ...(first && {
        upstream: {
          // What goes on longer than a reload asks the client that is there then.
          get client() {
            return clients.get(upstream.registry.name) ?? first
          },
          repository: upstream.repository,
        },
      }),
      freshness: project.freshness,
      stale: project.stale,
      prefetch: project.prefetch,
      ...(asUpstream && { asUpstream }),
    }
  }
}
