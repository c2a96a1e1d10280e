import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startEdge } from '../support/edge.ts'
import { describeWith } from '../support/tools.ts'

const listening = '0A'

/** Ports at which something of the network namespace of `pid` listens or takes datagrams, by protocol. */
async function openPorts(pid: number): Promise<string[]> {
  const tables = ['tcp', 'tcp6', 'udp', 'udp6', 'raw', 'raw6', 'sctp']
  const present = (await readdir(`/proc/${pid}/net`)).filter((name) => tables.includes(name))
  const found = await Promise.all(
    present.map(async (table) => {
      const rows = (await readFile(`/proc/${pid}/net/${table}`, 'utf8')).trim().split('\n').slice(1)
      return rows
        .map((row) => row.trim().split(/\s+/))
        .filter(([, , , state]) => !table.startsWith('tcp') || state === listening)
        .map(
          ([, local = '']) => `${table.replace('6', '')}:${Number.parseInt(local.split(':')[1] ?? '', 16)}`,
        )
    }),
  )
  return [...new Set(found.flat())]
}

// In a network of its own, all that listens there is the node's.
describeWith(['namespaces'], 'without a setting', () => {
  test('a node listens at its registry door and nowhere else', async () => {
    await using edge = await startEdge({
      policies: join(import.meta.dirname, '../../policies'),
      env: { OUTPORT_LISTEN: '' },
      through: ['unshare', '--net', '--'],
    })
    await edge.logged(({ msg }) => msg === 'listening')
    expect(await openPorts(edge.pid)).toEqual(['tcp:5000'])
  })
})
