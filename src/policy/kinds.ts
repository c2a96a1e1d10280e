import { cacheDocument } from './cache-document.ts'
import { calendarDocument } from './calendar-document.ts'
import { gcDocument } from './gc-document.ts'
import { projectDocument } from './project-document.ts'
import { registryDocument } from './registry-document.ts'

/** The kinds of documents there are. */
export const kinds = {
  registry: registryDocument,
  project: projectDocument,
  cache: cacheDocument,
  calendar: calendarDocument,
  gc: gcDocument,
} as const

export type Kind = keyof typeof kinds

export function isKind(text: unknown): text is Kind {
  return typeof text === 'string' && Object.hasOwn(kinds, text)
}
