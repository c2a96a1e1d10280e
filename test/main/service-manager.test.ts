import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { mirrorPolicies, startEdge } from '../support/edge.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { describeWith } from '../support/tools.ts'
import { openNotifySocket } from './support/notify-socket.ts'

const policies = mirrorPolicies({ url: 'http://127.0.0.1:9' })

describeWith(['python3'], 'a node under systemd', () => {
  test.each(['a path', 'an abstract name'])('tells it how it is, at %s', async (kind) => {
    await using folder = await temporaryDirectory()
    const address = kind === 'a path' ? join(folder.path, 'notify') : `@outport-${randomUUID()}`
    await using manager = await openNotifySocket(address)
    await using edge = await startEdge({ policies, env: { NOTIFY_SOCKET: address } })

    await expect
      .poll(() => manager.told)
      .toEqual([{ msg: 'told', READY: '1', STATUS: `listens on ${edge.url}` }])
    process.kill(edge.pid, 'SIGHUP')
    await expect
      .poll(() => manager.told.slice(1))
      .toEqual([
        {
          msg: 'told',
          RELOADING: '1',
          MONOTONIC_USEC: expect.stringMatching(/^\d+$/),
          STATUS: expect.any(String),
        },
        { msg: 'told', READY: '1', STATUS: `listens on ${edge.url}` },
      ])
    expect(await edge.stop()).toEqual({ code: 0, signal: null })
    await expect.poll(() => manager.told.at(-1)).toMatchObject({ STOPPING: '1' })
    expect(edge.logs.filter(({ level }) => level !== 'info')).toEqual([])
  })

  test('says that it lives as long as it does', async () => {
    await using folder = await temporaryDirectory()
    const address = join(folder.path, 'notify')
    await using manager = await openNotifySocket(address)
    const watched = { NOTIFY_SOCKET: address, WATCHDOG_USEC: '300000' }
    const signsOfLife = () => manager.told.filter(({ WATCHDOG }) => WATCHDOG === '1').length
    await using edge = await startEdge({ policies, env: watched })
    await expect.poll(signsOfLife).toBeGreaterThan(2)
    await edge.stop()

    const until = manager.told.length
    await using other = await startEdge({ policies, env: { ...watched, WATCHDOG_PID: '1' } })
    await expect.poll(() => manager.told.length).toBe(until + 1)
    await other.stop()
    expect(manager.told.slice(until)).toEqual([
      expect.objectContaining({ READY: '1' }),
      expect.objectContaining({ STOPPING: '1' }),
    ])
  })
})

test.each([
  ['where nobody listens', '/nowhere/notify'],
  ['at an address of another kind', 'vsock:2:1234'],
  ['at a path that is too long', `/${'x'.repeat(200)}`],
])('a service manager that cannot be told %s does not keep it from serving', async (_, address) => {
  await using edge = await startEdge({ policies, env: { NOTIFY_SOCKET: address } })
  const warned = await edge.logged(({ msg }) => msg === 'the service manager cannot be told')
  expect(warned.level).toBe('warn')
  expect((await fetch(`${edge.url}/v2/`)).status).toBe(200)
  expect(await edge.stop()).toEqual({ code: 0, signal: null })
})

test('nothing of it is loaded where there is none', async () => {
  await using edge = await startEdge({ policies })
  expect(edge.output()).not.toContain('FFI')
  await edge.stop()
})
