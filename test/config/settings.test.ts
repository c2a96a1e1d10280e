import { expect, test } from 'vitest'
import { readEnvironment } from '../../src/config/environment.ts'
import { settings } from '../../src/config/settings.ts'

const machine = { hostname: 'edge', directory: '/srv' }

test('each setting is told in one line, once', () => {
  expect(new Set(settings.map(({ name }) => name)).size).toBe(settings.length)
  for (const { default: value, meaning } of settings) {
    expect(value).toMatch(/^[^\n]+$/)
    expect(meaning).toMatch(/^[^\n.]{10,100}[^.\n]$/)
  }
})

test('a default that is a value is what holds when it is not set', () => {
  const values = settings.filter(({ default: value }) => /^[a-z0-9.:/]+$/.test(value) && value !== 'none')
  expect(values.map(({ name }) => name)).toEqual([
    'OUTPORT_LISTEN',
    'OUTPORT_MIRROR',
    'OUTPORT_DATA',
    'OUTPORT_POLICIES',
    'OUTPORT_TLS_REDIRECT',
    'OUTPORT_DURABILITY',
    'OUTPORT_LOG_LEVEL',
    'OUTPORT_ACCESS_LOG',
    'OUTPORT_SLOW_REQUEST',
  ])
  const given = Object.fromEntries(values.map((setting) => [setting.name, setting.default]))
  const { mirror, ...rest } = readEnvironment({}, machine)
  expect(readEnvironment(given, machine)).toEqual({ ...rest, mirror: { ...mirror, set: true } })
})
