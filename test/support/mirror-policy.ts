import { stringify } from 'yaml'

export interface MirrorOverrides {
  /** Fields of the registry document. */
  registry?: object
  /** Fields of the project document. */
  project?: object
  /** Further documents. */
  more?: readonly object[]
}

/**
 * The policy of a public mirror of `upstream` in the place of docker.io. On a busy machine every registry seems far away,
 * so it says itself that a blob comes over one connection.
 */
export function mirrorPolicy(upstream: { readonly url: string }, overrides: MirrorOverrides = {}): string {
  const { registry, project, more = [] } = overrides
  const documents = [
    {
      kind: 'registry',
      name: 'upstream',
      type: 'docker-registry',
      url: upstream.url,
      ns: 'docker.io',
      segments: 1,
      ...registry,
    },
    { kind: 'project', name: 'docker.io', proxy: 'upstream', public: true, ...project },
    ...more,
  ]
  return documents.map((document) => stringify(document)).join('---\n')
}

/** {@link mirrorPolicy} as a folder of files, the upstream's own authority among them where it has one. */
export function mirrorPolicies(
  upstream: { readonly url: string; readonly ca?: string },
  overrides: MirrorOverrides = {},
): Record<string, string> {
  const { ca } = upstream
  if (ca === undefined) return { 'mirror.yaml': mirrorPolicy(upstream, overrides) }
  const registry = { ca: 'upstream.pem', ...overrides.registry }
  return { 'mirror.yaml': mirrorPolicy(upstream, { ...overrides, registry }), 'upstream.pem': ca }
}
