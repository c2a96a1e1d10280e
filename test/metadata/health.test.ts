import { expect, test } from 'vitest'
import { createHealth } from '../../src/metadata/health.ts'

function faultOf(code: string): Promise<never> {
  return Promise.reject(Object.assign(new Error('failed'), { code }))
}

test('a database that fails is in trouble until it has gone well for a minute', async () => {
  let now = 0
  const health = createHealth(() => now)
  expect(await health.follow('read', Promise.resolve(1))).toBe(1)
  expect(health.trouble()).toBeUndefined()

  await expect(health.follow('written', faultOf('SQLITE_FULL'))).rejects.toThrow('failed')
  now += 3_600_000
  await health.follow('read', Promise.resolve(1))
  expect(health.trouble()).toBe('the database cannot be written: SQLITE_FULL')

  await health.follow('written', Promise.resolve(1))
  expect(health.trouble()).toBeUndefined()
  health.failed('written', { code: 'SQLITE_FULL' })
  await health.follow('written', Promise.resolve(1))
  expect(health.trouble()).toBe('the database cannot be written: SQLITE_FULL')
  now += 60_000
  expect(health.trouble()).toBeUndefined()
})
