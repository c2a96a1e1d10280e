import type { AccessSubject } from '../auth/access.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Target } from '../projects/locate.ts'
import { isPublic } from '../projects/project.ts'

/** What the gate has to know of a target; `undefined` of what there is not. @param name as the client says it */
export function subjectOf(name: RepositoryName, target: Target | undefined): AccessSubject | undefined {
  return target && { name, public: isPublic(target.project, target.path), push: target.project.push }
}
