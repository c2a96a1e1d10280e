/** Names of what can be wrong, for scripts and alerts: they stay as they are. */
export const troubleCodes = [
  'upstream-down',
  'disk-full',
  'disk-broken',
  'cache-full',
  'clock-wrong',
  'certificate-ending',
  'certificate-ending-soon',
  'certificate-ended',
  'certificates-not-loaded',
  'database',
  'policies-wrong',
  'gc-failed',
] as const
export type TroubleCode = (typeof troubleCodes)[number]

/** Something that works less well than it should. */
export interface Trouble {
  code: TroubleCode
  /** ISO 8601. */
  since: string
  /** What it is about, where there can be several of a code: a registry, a certificate. */
  about?: string
  /** A sentence without a full stop. Everybody may read it: no path, no secret, no name of anything private. */
  message: string
}

/** What a source finds wrong at the moment. */
export interface Finding extends Pick<Trouble, 'code' | 'about' | 'message'> {
  /** Milliseconds since 1970; absent: since it was first found. */
  since?: number
}

export type TroubleSource = () => readonly Finding[]

export interface Troubles extends Disposable {
  /** As of now, the oldest first. */
  all(): Trouble[]
}

export interface TroublesOptions {
  sources: readonly TroubleSource[]
  onBegun(trouble: Trouble): void
  onOver(trouble: Trouble): void
  /** Milliseconds since 1970. */
  now?: () => number
}

/** That nobody asks must not make a trouble younger. */
const lookMs = 1000

/** Asks the sources every second, and whenever it is asked. */
export function createTroubles({ sources, onBegun, onOver, now = Date.now }: TroublesOptions): Troubles {
  let known: ReadonlyMap<string, Trouble> = new Map()

  function look(): void {
    const before = known
    known = followed(
      before,
      sources.flatMap((source) => source()),
      now(),
    )
    for (const [key, trouble] of known) if (!before.has(key)) onBegun(trouble)
    for (const [key, trouble] of before) if (!known.has(key)) onOver(trouble)
  }
  const timer = setInterval(look, lookMs).unref()

  return {
    all() {
      look()
      return [...known.values()].sort((one, other) => Date.parse(one.since) - Date.parse(other.since))
    },
    [Symbol.dispose]: () => clearInterval(timer),
  }
}

/** What was found before keeps its beginning; its words may change. */
function followed(
  before: ReadonlyMap<string, Trouble>,
  findings: readonly Finding[],
  now: number,
): Map<string, Trouble> {
  return new Map(
    findings.map(({ since = now, ...finding }) => {
      const key = `${finding.code} ${finding.about ?? ''}`
      return [key, { ...finding, since: before.get(key)?.since ?? new Date(since).toISOString() }]
    }),
  )
}
