import { RegistryError } from '../oci/error.ts'

/** The body of every error: distribution-spec "Error Codes". */
function errorBody({ code, message, detail }: RegistryError): string {
  return JSON.stringify({ errors: [{ code, message, ...(detail !== undefined && { detail }) }] })
}

/** What the client is told: known errors as they are, others without a word of their insides. */
export function registryErrorOf(error: unknown): RegistryError {
  return error instanceof RegistryError ? error : new RegistryError('UNKNOWN', { cause: error })
}

/** The only place where an error becomes a response. HEAD gets the same head, without the body. */
export function errorResponse(error: RegistryError, method: string): Response {
  const body = errorBody(error)
  return new Response(method === 'HEAD' ? null : body, {
    status: error.status,
    headers: {
      'content-type': 'application/json; charset=utf-8',
      'content-length': String(Buffer.byteLength(body)),
      'x-content-type-options': 'nosniff',
      ...error.headers,
    },
  })
}
