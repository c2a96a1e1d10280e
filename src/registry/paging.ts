import type { HttpContext } from '../http/context.ts'
import { RegistryError } from '../oci/error.ts'

/** More are not given at once. */
const maxPage = 1000

/** What `n` asks for, at most 1000. @throws RegistryError `PAGINATION_NUMBER_INVALID` */
export function countOf(c: HttpContext): number {
  const { n: counts = [] } = c.req.queries()
  const [n] = counts
  if (counts.length > 1 || (n !== undefined && !/^\d{1,15}$/.test(n))) {
    throw new RegistryError('PAGINATION_NUMBER_INVALID', { detail: { n: counts.join(',').slice(0, 100) } })
  }
  return n === undefined ? maxPage : Math.min(Number(n), maxPage)
}

/** Where the list goes on behind `last`, in the same terms; `undefined` at its end. */
export function nextLink(
  c: HttpContext,
  path: string,
  last: string | undefined,
): { link: string } | undefined {
  if (last === undefined) return undefined
  const kept = ['n', 'artifactType', 'ns'].flatMap((name) => {
    const value = c.req.query(name)
    return value === undefined ? [] : [[name, name === 'n' ? String(countOf(c)) : value]]
  })
  const query = new URLSearchParams({ ...Object.fromEntries(kept), last })
  return { link: `<${path}?${query}>; rel="next"` }
}
