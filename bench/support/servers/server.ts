/** Something that can be measured. */
export interface Server {
  /** As in the table. */
  readonly name: string
  /** What it says of itself. */
  readonly version: string
  /** Writes what it needs into `place.folder` and says how to start it. */
  prepare(place: Place): Promise<Launch>
}

/** What is given to a server: it answers on 127.0.0.1 at `port` and keeps everything in `folder`. */
export interface Place {
  port: number
  /** Its own, empty at first, removed after it has ended. */
  folder: string
  /** Origin of the registry that it mirrors. */
  upstream: string
}

export interface Launch {
  program: string
  args: readonly string[]
  /** Beside PATH and the like. */
  env?: Readonly<Record<string, string>>
}
