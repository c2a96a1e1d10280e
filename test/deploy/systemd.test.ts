import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { mirrorPolicies, startEdge } from '../support/edge.ts'
import { buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { describeWith, toolPath } from '../support/tools.ts'
import { startUpstream } from '../support/upstream.ts'

const root = join(import.meta.dirname, '../..')
const unit = join(root, 'deploy/systemd/outport.service')

function analyze(...args: string[]): Promise<{ stdout: string; stderr: string }> {
  return promisify(execFile)('systemd-analyze', args)
}

describeWith(['systemd-analyze'], 'the unit', () => {
  test('is one that systemd understands', async () => {
    await using folder = await temporaryDirectory()
    const copy = join(folder.path, 'outport.service')
    // It is looked up whether that program is there.
    const text = (await readFile(unit, 'utf8')).replace('/usr/local/bin/outport', join(root, 'bin/outport'))
    await writeFile(copy, text)
    expect(await analyze('verify', copy)).toEqual({ stdout: '', stderr: '' })
  })

  test('leaves little open', async () => {
    // Tenths: 1.5 of 10. Fails above.
    await analyze('security', '--offline=true', '--threshold=15', unit)
  })
})

describeWith(['systemd-analyze', 'strace'], 'the system calls that the unit allows', () => {
  test('are all that a node makes', { timeout: 90_000 }, async () => {
    const allowed = await allowedCalls(await readFile(unit, 'utf8'))
    await using folder = await temporaryDirectory()
    await using upstream = await startUpstream()
    upstream.addImage('library/app', '1', buildImage({ layers: [5000, 9_000_000], seed: 'systemd' }))
    const traces = join(folder.path, 'calls')
    await using edge = await startEdge({
      policies: mirrorPolicies(upstream),
      env: { NOTIFY_SOCKET: '/nowhere/notify' },
      through: [toolPath('strace'), '-D', '-f', '-qq', '-e', 'signal=none', '-o', traces],
    })
    await pull(edge.url, 'library/app', '1')
    await pull(edge.url, 'library/app', '1')
    process.kill(edge.pid, 'SIGHUP')
    await edge.logged(({ msg }) => msg === 'policies loaded')
    expect(await edge.stop()).toEqual({ code: 0, signal: null })

    const made = [...(await readFile(traces, 'utf8')).matchAll(/^\d+ +(?:<\.\.\. )?(\w+)[( ]/gm)]
    const calls = new Set(made.map(([, name = '']) => name))
    expect(calls).toContain('fsync')
    // SQLite gives its files to the owner of the database, as root only.
    const denied = [...calls].filter((call) => call !== 'fchown' && !allowed.has(call))
    expect(denied).toEqual([])
  })
})

/** Of the groups in its lines SystemCallFilter, those with a tilde taken away again. */
async function allowedCalls(text: string): Promise<Set<string>> {
  const lines = [...text.matchAll(/^SystemCallFilter=(~?)(.*)$/gm)]
  let allowed = new Set<string>()
  for (const [, taken, groups = ''] of lines) {
    const named = new Set((await Promise.all(groups.split(' ').map(callsOf))).flat())
    allowed = taken ? allowed.difference(named) : allowed.union(named)
  }
  return allowed
}

async function callsOf(group: string): Promise<string[]> {
  const { stdout } = await analyze('syscall-filter', group)
  const names = [...stdout.matchAll(/^ {4}([@\w-]+)$/gm)].map(([, name = '']) => name)
  const nested = await Promise.all(names.map((name) => (name.startsWith('@') ? callsOf(name) : [name])))
  return nested.flat()
}
