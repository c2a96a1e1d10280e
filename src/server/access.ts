import { join } from 'node:path'
import { type Accounts, createAccounts } from '../auth/accounts.ts'
import { administratorName, openAdministrator } from '../auth/administrator.ts'
import { type Callers, createCallers } from '../auth/callers.ts'
import { openHtpasswd } from '../auth/htpasswd.ts'
import { createTokens, type Tokens } from '../auth/tokens.ts'
import type { Config } from '../config/config.ts'
import type { Logger } from '../log.ts'
import { onlyMirrors, type Site } from '../projects/project.ts'

/** Who may come in, and how one shows who one is. */
export interface Access {
  accounts: Accounts
  callers: Callers
  tokens: Tokens
  /** From now on this is what there is to log in for. */
  follow(site: Site): Promise<void>
}

export interface AccessOptions {
  config: Config
  log: Logger
  /** Folder of keys and verifiers. */
  keys: string
  onPassword: ((name: string, password: string) => void) | undefined
}

/** @throws in one line what of the accounts cannot be used */
export async function openAccess(
  { config, log, keys, onPassword }: AccessOptions,
  owned: AsyncDisposableStack,
): Promise<Access> {
  const administrator = await openAdministrator(join(keys, 'admin'), config.adminPassword)
  const onBroken = (err: unknown) => log.error({ err }, 'users are not followed; the last good ones go on')
  const htpasswd =
    config.htpasswd === undefined
      ? undefined
      : await openHtpasswd(config.htpasswd, administratorName, onBroken)
  const accounts = owned.use(createAccounts({ administrator, htpasswd }))
  const tokens = createTokens(join(keys, 'token.json'), config.site)
  return {
    accounts,
    callers: createCallers(accounts, tokens),
    tokens,
    async follow(site) {
      if (!onPassword || onlyMirrors(site)) return
      const password = await administrator.ensure()
      if (password !== undefined) onPassword(administratorName, password)
    },
  }
}
