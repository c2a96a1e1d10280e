import type { ClientName } from './clients/client.ts'

/** What can be wrong. Scripts rely on these words: they are added to, and never change their meaning. */
export type Code =
  | 'answer-timeout'
  | 'api-version-missing'
  | 'authority-misplaced'
  | 'captive-portal'
  | 'certificate-authority'
  | 'certificate-ended'
  | 'certificate-name'
  | 'certificate-not-yet-valid'
  | 'challenge'
  | 'clock-wrong'
  | 'config-path-missing'
  | 'connection-closed'
  | 'connection-refused'
  | 'connection-timeout'
  | 'credentials-refused'
  | 'cut'
  | 'data-full'
  | 'data-owner'
  | 'data-unusable'
  | 'degraded'
  | 'denied'
  | 'digest-missing'
  | 'digest-wrong'
  | 'disk-trouble'
  | 'encoded'
  | 'file-invalid'
  | 'file-unreadable'
  | 'host-unreachable'
  | 'http-to-https-door'
  | 'https-to-http-door'
  | 'insecure-missing'
  | 'media-type-wrong'
  | 'mirror-with-path'
  | 'misdirected'
  | 'name-unresolved'
  | 'node-hangs'
  | 'node-not-running'
  | 'not-found'
  | 'not-http'
  | 'path-form-unknown'
  | 'policies-wrong'
  | 'range-ignored'
  | 'realm-elsewhere'
  | 'realm-unreachable'
  | 'registries-mixed'
  | 'server-error'
  | 'settings-wrong'
  | 'socket-name-long'
  | 'too-many-requests'
  | 'trailing-slash'
  | 'upstream-budget-low'
  | 'upstream-down'
  | 'upstream-limited'
  | 'upstream-refuses'

/** Something that is not as it must be, and what to do about it. Without a full stop at the end of either. */
export interface Mistake {
  code: Code
  what: string
  advice: string
}

/** A mistake that is not one client's alone. `note`: worth knowing, and no reason for an exit code. */
export interface Finding extends Mistake {
  kind: 'mistake' | 'note'
  /** The file, the door, the setting. */
  where: string
}

/** How one client fares at one door. */
export type ClientResult = { kind: 'client'; door: string; client: ClientName; title: string } & (
  | { ok: true; tested: string }
  /** `consequence`: what this client does after it. */
  | ({ ok: false; consequence: string } & Mistake)
)

export type ReportLine =
  | { kind: 'door'; door: string; face?: string; image?: string }
  | ClientResult
  | Finding
  /** Files of this machine that were looked at. */
  | { kind: 'looked'; read: string[]; absent: string[] }
  | { kind: 'end'; mistakes: number; notes: number }

export function mistakeAt(where: string, mistake: Mistake): Finding {
  return { kind: 'mistake', where, ...mistake }
}

export function noteAt(where: string, mistake: Mistake): Finding {
  return { kind: 'note', where, ...mistake }
}
