import { isDeepStrictEqual } from 'node:util'
import type { RegistryClient, RegistrySettings } from '../upstream/registry-client.ts'

/** A client for each registry of the site, made again only when its settings change, save its bandwidth. */
export interface RegistryClients {
  get(name: string): RegistryClient | undefined
  all(): RegistryClient[]
  /**
   * Follows the site's registries, all or none. Clients that are no longer wanted finish what they are at.
   * @throws when a client cannot be made of its settings
   */
  follow(registries: Iterable<RegistrySettings>): void
  [Symbol.asyncDispose](): Promise<void>
}

export function createRegistryClients(
  create: (settings: RegistrySettings) => RegistryClient,
  onError: (error: unknown) => void,
): RegistryClients {
  let clients = new Map<string, RegistryClient>()
  return {
    get: (name) => clients.get(name),
    all: () => [...clients.values()],
    follow(registries) {
      const before = clients
      const wanted = [...registries]
      clients = new Map(
        wanted.map((settings) => {
          const known = before.get(settings.name)
          return [
            settings.name,
            known && differOnlyInPace(known.settings, settings) ? known : create(settings),
          ]
        }),
      )
      for (const settings of wanted) clients.get(settings.name)?.pace(settings)
      for (const [name, client] of before) if (clients.get(name) !== client) client.close().catch(onError)
    },
    async [Symbol.asyncDispose]() {
      await Promise.allSettled([...clients.values()].map((client) => client.close()))
    },
  }
}

function differOnlyInPace(one: RegistrySettings, other: RegistrySettings): boolean {
  return isDeepStrictEqual({ ...one, bandwidth: undefined }, { ...other, bandwidth: undefined })
}
