import { AsyncLocalStorage } from 'node:async_hooks'

/** What goes with everything that is done for one request of a client, however deep below it. */
export interface RequestScope {
  readonly id: string
  /** When the answer began, by `performance.now()`. */
  headAt?: number
  /** Milliseconds until then, by what was waited for; they may overlap. */
  waited?: Partial<Record<Wait, number>>
}

/**
 * - `upstream`: an answer of a registry. `limit`: its rate limit. `connection`: one that is free to it.
 * - `place`: among the fills. `fill`: the head of a blob that is on its way, whoever asked for it first.
 */
export type Wait = 'upstream' | 'limit' | 'connection' | 'place' | 'fill'

// What it holds lives as long as the request: nothing is shared by way of it.
const current = new AsyncLocalStorage<RequestScope | undefined>()

export function withinRequest<Value>(scope: RequestScope, work: () => Value): Value {
  return current.run(scope, work)
}

/** For what a request only happens to set off. */
export function outsideRequest<Value>(work: () => Value): Value {
  return current.run(undefined, work)
}

/** `undefined` for what the node does by itself. */
export function requestId(): string | undefined {
  return current.getStore()?.id
}

/** The head of the answer leaves now. */
export function noteHead(): void {
  const scope = current.getStore()
  if (scope) scope.headAt ??= performance.now()
}

/** @param since by `performance.now()` */
export function noteWait(what: Wait, since: number): void {
  const scope = current.getStore()
  if (!scope || scope.headAt !== undefined) return
  scope.waited ??= {}
  scope.waited[what] = (scope.waited[what] ?? 0) + performance.now() - since
}
