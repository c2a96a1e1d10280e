import { kill, pid } from 'node:process'

let armed: string | undefined

/** For tests: the next {@link failpoint} of that name fails, once; with `!` behind the name, the process is killed there. */
export function armFailpoint(name: string | undefined): void {
  armed = name
}

/** Where a test may have something go wrong that nobody thought of. @throws when it was armed */
export function failpoint(name: string): void {
  if (armed === `${name}!`) kill(pid, 'SIGKILL')
  if (armed !== name) return
  armed = undefined
  throw new Error(`failpoint ${name}`)
}
