import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createAuthority } from '../../support/certificates.ts'
import type { Edge } from '../../support/edge.ts'
import { startHosted } from '../../support/hosted.ts'
import { temporaryDirectory } from '../../support/temporary.ts'
import { freshLoopbackAddress } from './loopback.ts'
import { type Machine, startMachine } from './machine.ts'

/** A site that clients push to, as they see it. */
export interface PushSite extends AsyncDisposable {
  readonly edge: Edge
  /** As image names begin. */
  readonly host: string
  /** Its certificate is of an authority that {@link startMachine} makes a client trust. */
  readonly isSecure: boolean
  /** A client's machine that knows this site, and others. */
  startMachine(...others: PushSite[]): Promise<Machine>
  readonly names: Readonly<Record<string, string>>
}

export interface PushSiteOptions {
  isSecure?: boolean
  /** Default `edge`. */
  name?: string
}

export async function startPushSite({
  isSecure = false,
  name = 'edge',
}: PushSiteOptions = {}): Promise<PushSite> {
  await using owned = new AsyncDisposableStack()
  const folder = owned.use(await temporaryDirectory())
  const address = freshLoopbackAddress()
  const names = { [`${name}.example`]: address }
  const [scheme, port] = isSecure ? ['https', 5443] : ['http', 5000]
  const host = `${name}.example:${port}`
  const at = (file: string) => join(folder.path, file)
  // The tests look at it without TLS.
  const plain = `http://${address}:5000`
  const doors: Record<string, string> = { OUTPORT_LISTEN: plain, OUTPORT_PUBLIC_URL: `${scheme}://${host}` }
  if (isSecure) {
    const authority = createAuthority()
    const { cert, key } = authority.issue({ names: [`${name}.example`] })
    await writeFile(at('ca.pem'), authority.ca)
    await writeFile(at('a.pem'), cert)
    await writeFile(at('a.key'), key, { mode: 0o600 })
    doors.OUTPORT_LISTEN = `${plain},https://${address}:${port}`
    doors.OUTPORT_TLS_CERT = at('a.pem')
    doors.OUTPORT_TLS_KEY = at('a.key')
  }
  const edge = owned.use(await startHosted({ env: doors }))
  const held = owned.move()
  return {
    edge,
    host,
    isSecure,
    names,
    async startMachine(...others) {
      const sites = [{ host, names, isSecure }, ...others]
      const insecure = sites.filter((each) => !each.isSecure).map((each) => each.host)
      const machine = await startMachine({
        names: Object.assign({}, ...sites.map((each) => each.names)),
        etc: { 'docker/daemon.json': JSON.stringify({ 'insecure-registries': insecure }) },
        ...(isSecure && { authority: at('ca.pem') }),
      })
      await mkdir(join(machine.directory, '.docker'), { recursive: true })
      return machine
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}
