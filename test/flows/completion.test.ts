import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { type FaultSite, startSite } from '../faults/support/site.ts'
import { outport } from '../support/command.ts'
import { buildImage } from '../support/images.ts'
import { plainEnvironment } from '../support/node-process.ts'
import { pull } from '../support/pull.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const entry = join(import.meta.dirname, '../../outport.js')

/** What bash offers at the end of each line, as it divides words at colons. */
async function offered(lines: readonly string[], site?: FaultSite): Promise<string[][]> {
  await using folder = await temporaryDirectory()
  const program = join(folder.path, 'outport')
  await writeFile(program, `#!/bin/sh\nexec '${process.execPath}' '${entry}' "$@"\n`, { mode: 0o755 })
  const script = `
    source <(outport completion bash)
    for COMP_LINE in "$@"; do
      COMP_POINT=\${#COMP_LINE}
      _outport
      echo "\${COMPREPLY[@]}"
    done`
  const env = {
    ...plainEnvironment(),
    PATH: `${folder.path}:${process.env.PATH}`,
    OUTPORT_DATA: site?.edge.data ?? join(folder.path, 'data'),
  }
  const { stdout, stderr } = await promisify(execFile)('bash', ['-c', script, 'bash', ...lines], { env })
  expect(stderr).toBe('')
  return stdout.split('\n').map((line) => line.split(' ').filter((word) => word !== ''))
}

test('bash completes commands, those below them, options and what they can be', {
  timeout: 60_000,
}, async () => {
  const wanted: Record<string, string[]> = {
    'outport un': ['unpin'],
    'outport policy ': ['check', 'schema', '--help'],
    'outport warm --': ['--platform', '--until', '--from', '--json', '--help'],
    'outport evict --dry-run --j': ['--json'],
    'outport pull --platform linux/arm': ['linux/arm64', 'linux/arm/v7'],
    'outport pull --from /': [],
    'outport completion ': ['bash', 'zsh', 'fish', '--help'],
    'outport evict doc': [],
  }
  const [...said] = await offered(Object.keys(wanted))
  expect(said.slice(0, -1)).toEqual(Object.values(wanted))
})

test('bash completes the images and repositories that a running node has', { timeout: 60_000 }, async () => {
  await using site = await startSite({ policy: { project: { freshness: [{ tag: '**', for: '1d' }] } } })
  for (const tag of ['1.2', '1.3']) {
    site.upstream.addImage('library/app', tag, buildImage({ layers: [tag.length], seed: tag }))
    await pull(site.edge.url, 'library/app', tag)
  }
  const [images, tags, repositories] = await offered(
    ['outport evict docker.io/l', 'outport explain docker.io/library/app:', 'outport pin do'],
    site,
  )
  expect(images).toEqual(['docker.io/library/app:1.2', 'docker.io/library/app:1.3'])
  // What stands before the last colon bash keeps as it is.
  expect(tags).toEqual(['1.2', '1.3'])
  expect(repositories).toEqual(['docker.io/library/app'])
})

test.each(['zsh', 'fish'])('%s is told every command and the way to the images', async (shell) => {
  const told = await outport(['completion', shell], {})
  expect(told).toMatchObject({ code: 0, stderr: '' })
  for (const word of ['pull', 'warm', 'evict', 'policy', 'schema', 'dry-run', 'completion-names'])
    expect(told.stdout).toContain(word)
  expect(told.stdout).not.toMatch(/undefined|\[object/)
})

test('every command has a help with an example', { timeout: 120_000 }, async () => {
  const names = ['serve', 'status', 'ls', 'explain', 'pull', 'evict', 'pin', 'unpin', 'fsck', 'completion']
  const { stdout } = await outport(['--help'], {})
  for (const name of names) {
    expect(stdout).toMatch(new RegExp(`^ {2}${name}\\b`, 'm'))
    const told = await outport([name, '--help'], {})
    expect([name, told.code, told.stdout]).toEqual([
      name,
      0,
      expect.stringMatching(/\nExample:\n {2}.*outport/),
    ])
  }
})
