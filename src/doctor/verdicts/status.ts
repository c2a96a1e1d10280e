import type { Mistake } from '../findings.ts'
import type { Answer } from '../wire/exchange.ts'

export type Asked = 'ping' | 'manifest' | 'blob'

/** What it means that `what` was not answered as it should be; `undefined` for 200, 206 and a blob's redirect. */
export function statusMistake(what: string, asked: Asked, answer: Answer): Mistake | undefined {
  const { status } = answer
  if (isPage(answer) && status < 400) return captivePortal(what, answer)
  if (status === 200 || status === 206) return undefined
  if (status >= 300 && status < 400) return asked === 'blob' ? undefined : captivePortal(what, answer)
  return { ...mistakeOf(status), what: `${what}: ${status}${saidIn(answer)}` }
}

/** HTML, which no registry sends. */
export function isPage({ headers, body }: Answer): boolean {
  return (
    /\bhtml\b/i.test(headers['content-type'] ?? '') ||
    /^\s*<(?:!doctype|html)/i.test(body.toString('latin1', 0, 200))
  )
}

function captivePortal(what: string, { status, headers }: Answer): Mistake {
  const { location } = headers
  const found =
    location === undefined ? `${status} with a page of HTML` : `${status}, to ${location.slice(0, 200)}`
  return {
    code: 'captive-portal',
    what: `${what}: ${found}: that is not the node, but something on the way that wants a login or shows a page`,
    advice:
      'log in to that network, or take the node out of the proxy (NO_PROXY, also of dockerd and containerd)',
  }
}

function mistakeOf(status: number): Pick<Mistake, 'code' | 'advice'> {
  switch (status) {
    case 403:
      return { code: 'denied', advice: 'something refuses it: a rule of the node, or a proxy on the way' }
    case 404:
      return {
        code: 'not-found',
        advice:
          'is the name right, and is it mirrored here (`outport policy check`)? A mirror also says 404 for what its upstream refuses or has not got',
      }
    case 421:
      return {
        code: 'misdirected',
        advice:
          'the node does not know that name as its own: tell it the address that clients know it by (see Settings)',
      }
    case 429:
      return {
        code: 'too-many-requests',
        advice: 'Outport never says that: something on the way limits requests, raise its limit',
      }
    default:
      return {
        code: 'server-error',
        advice:
          'its log says why; `outport status` and /readyz say whether an upstream or the disk is in trouble',
      }
  }
}

/** distribution-spec "Error Codes", or who else has answered. */
function saidIn(answer: Answer): string {
  if (isPage(answer)) return ', with a page of HTML, so by something before the node'
  try {
    const { message } = JSON.parse(answer.body.toString()).errors[0]
    return typeof message === 'string' ? ` (${message.slice(0, 200)})` : ''
  } catch {
    return ''
  }
}
