/** The system's or a library's name of an error, such as `ENOENT`; `undefined` for what carries none. */
export function errorCodeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
