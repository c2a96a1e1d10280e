import { decide } from '../auth/access.ts'
import type { HttpContext } from '../http/context.ts'
import type { RegistryPath } from '../oci/registry-path.ts'
import type { Target } from '../projects/locate.ts'
import { isVirtual, mayShadow } from '../projects/project.ts'
import type { Entry } from './entry.ts'
import type { RegistryHandlers } from './routes.ts'
import { subjectOf } from './subject.ts'

/**
 * Before it pushes a client looks for what is there already, and then does not send it. In a virtual project that is only
 * what does not need upstream: neither does a push then, and upstream does not hear of it. containerd shows no credentials
 * before it is asked for them, so who looks for a blob is; no pull needs a HEAD of one.
 * @returns `undefined` for what is asked as of any mirror
 */
export async function answerProbe(
  c: HttpContext,
  target: Target,
  path: RegistryPath,
  { caller, refusal }: Entry,
  handlers: RegistryHandlers,
): Promise<Response | undefined> {
  if (c.req.method !== 'HEAD' || !isVirtual(target.project)) return undefined
  if (path.kind !== 'manifest' && path.kind !== 'blob') return undefined
  const mayPush = decide(caller, 'push', subjectOf(path.name, target)) === 'allow'
  if (path.kind === 'manifest') {
    const { reference } = path
    // With a password alone one may as well have come to pull.
    const isPush = mayPush && caller.granted !== undefined
    const isLeft = reference.kind === 'tag' && !mayShadow(target.project, reference.tag)
    return isPush && !isLeft ? handlers.pushedManifest(c, target, path) : undefined
  }
  if (!mayPush && caller.granted === undefined) throw refusal(path.name)
  const { upstream: _, ...here } = target
  return mayPush ? handlers.blob(c, here, path) : undefined
}
