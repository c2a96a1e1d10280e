import { type LookupAddress, lookup as resolveBySystem } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { createSingleFlight } from '../flow/single-flight.ts'

interface Found {
  addresses: string | LookupAddress[]
  family: number | undefined
}

/**
 * Whoever asks for a name while it is being looked up shares the outcome. A lookup by the system takes a thread until
 * it is answered, and few threads may be at lookups: all the connections to one silent name must not take them all.
 */
export function createLookup(resolve: LookupFunction = resolveBySystem as LookupFunction): LookupFunction {
  const asking = createSingleFlight<Found>()
  return (hostname, options, callback) => {
    const ask = () =>
      new Promise<Found>((answer, fail) => {
        resolve(hostname, options, (error, addresses, family) => {
          if (error) fail(error)
          else answer({ addresses, family })
        })
      })
    asking(JSON.stringify([hostname, options]), ask).then(
      ({ addresses, family }) => callback(null, addresses, family),
      (error) => callback(error, ''),
    )
  }
}
