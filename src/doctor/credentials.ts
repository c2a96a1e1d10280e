import type { Machine } from './machine.ts'

/** What a client has kept of a login. Sent to that door and its realm alone, and never printed but for the name. */
export interface Credential {
  username: string
  password: string
  /** Where it stands. */
  file: string
}

/** docker's and podman's files of logins, in the order in which podman reads them. */
export function loginFiles(home: string, uid: number): string[] {
  return [
    `/run/user/${uid}/containers/auth.json`,
    `/run/containers/${uid}/auth.json`,
    `${home}/.config/containers/auth.json`,
    `${home}/.docker/config.json`,
  ]
}

/** The login for the door `host`, if one of `files` has it; helpers that keep passwords elsewhere are not asked. */
export async function findCredential(
  machine: Machine,
  files: readonly string[],
  host: string,
): Promise<Credential | undefined> {
  for (const file of files) {
    const read = await machine.read(file)
    const found = read.kind === 'text' ? credentialIn(read.text, host) : undefined
    if (found) return { ...found, file }
  }
  return undefined
}

function credentialIn(text: string, host: string): Omit<Credential, 'file'> | undefined {
  try {
    const { auths } = JSON.parse(text)
    const auth = auths?.[host]?.auth ?? auths?.[`http://${host}`]?.auth ?? auths?.[`https://${host}`]?.auth
    const [, username, password] =
      /^([^:]+):(.*)$/s.exec(Buffer.from(String(auth), 'base64').toString()) ?? []
    return username !== undefined && password !== undefined ? { username, password } : undefined
  } catch {
    return undefined
  }
}
