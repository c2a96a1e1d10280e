import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import Sqlite from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { mirrorPolicy, startEdge } from '../support/edge.ts'
import { fetchBlob } from '../support/fetch-blob.ts'
import { buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { startUpstream, type Upstream } from '../support/upstream.ts'

const entry = join(import.meta.dirname, '../../outport.js')
const image = buildImage({ layers: [5000, 400_000] })
let upstream: Upstream

beforeAll(async () => {
  upstream = await startUpstream()
  upstream.addImage('library/app', '1', image)
})
afterAll(() => upstream[Symbol.asyncDispose]())

const policies = () => ({ 'mirror.yaml': mirrorPolicy(upstream) })

interface Outcome {
  code: number
  stdout: string
  stderr: string
}

async function outport(args: readonly string[], env: Record<string, string>): Promise<Outcome> {
  const options = { env: { PATH: process.env.PATH ?? '', ...env }, timeout: 20_000 }
  try {
    return { code: 0, ...(await promisify(execFile)(process.execPath, [entry, ...args], options)) }
  } catch (error) {
    return error as Outcome
  }
}

describe('a node that starts', () => {
  test('says in three lines where it is, what it mirrors and what to put where', async () => {
    await using edge = await startEdge({ policies: policies() })
    const lines = () =>
      edge
        .output()
        .split('\n')
        .filter((text) => text !== '' && !text.startsWith('{'))
    await expect
      .poll(lines)
      .toEqual([
        `outport listens on ${edge.url}`,
        `mirrors docker.io, keeps it in ${edge.data}`,
        `put into /etc/docker/daemon.json: { "registry-mirrors": ["${edge.url}"] }`,
      ])
  })

  test('owns its data: the second one says so and ends', async () => {
    await using edge = await startEdge({ policies: policies() })
    const second = await outport(['serve'], {
      OUTPORT_DATA: edge.data,
      OUTPORT_POLICIES: edge.policies,
      OUTPORT_LISTEN: '127.0.0.1:0',
    })
    expect(second.code).toBe(1)
    expect(second.stderr).toMatch(
      new RegExp(`^outport: ${edge.data} is in use by another Outport.*${edge.pid}.*\n$`),
    )
    await pull(edge.url, 'library/app', '1')
  })

  test('says which port is taken, and leaves the data as it was', async () => {
    await using folder = await temporaryDirectory()
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as { port: number }
    const env = {
      OUTPORT_DATA: join(folder.path, 'data'),
      OUTPORT_POLICIES: join(import.meta.dirname, '../../policies'),
    }
    const refused = await outport(['serve'], { ...env, OUTPORT_LISTEN: `127.0.0.1:${port}` })
    taken.close()
    expect([refused.code, refused.stderr]).toEqual([
      1,
      `outport: cannot listen on http://127.0.0.1:${port}: the port is taken\n`,
    ])
  })

  test('refuses a data folder that cannot be one', async () => {
    await using folder = await temporaryDirectory()
    const file = join(folder.path, 'file')
    await writeFile(file, '')
    const refused = await outport(['serve'], {
      OUTPORT_DATA: join(file, 'data'),
      OUTPORT_LISTEN: '127.0.0.1:0',
    })
    expect(refused.code).toBe(1)
    expect(refused.stderr).toMatch(/^outport: cannot use the data folder .*file\/data: .*\n$/)
  })

  test('refuses the data of a newer version in one line, and changes nothing', async () => {
    await using edge = await startEdge({ policies: policies() })
    await pull(edge.url, 'library/app', '1')
    await edge.stop()
    const database = join(edge.data, 'outport.db')
    const newer = new Sqlite(database)
    newer.exec("insert into kysely_migration (name, timestamp) values ('9999-from-the-future', '2030-01-01')")
    newer.close()
    const env = { OUTPORT_DATA: edge.data, OUTPORT_POLICIES: edge.policies, OUTPORT_LISTEN: '127.0.0.1:0' }
    const refused = await outport(['serve'], env)
    expect(refused.code).toBe(1)
    expect(refused.stderr).toMatch(/^outport: .*newer.*\n$/)

    const back = new Sqlite(database)
    back.exec("delete from kysely_migration where name = '9999-from-the-future'")
    back.close()
    await edge.restart()
    upstream.clear()
    await pull(edge.url, 'library/app', '1')
    expect(upstream.count({ path: /blobs/ })).toBe(0)
  })

  test('tells everything that is wrong with its environment at once', async () => {
    const refused = await outport(['serve'], {
      OUTPORT_LISTEN: 'nowhere',
      OUTPORT_DURABILTY: 'full',
      OUTPORT_LOG_LEVEL: 'loud',
      OUTPORT_TLS_CERT: 'a.pem',
    })
    expect(refused.code).toBe(1)
    for (const name of ['OUTPORT_LISTEN', 'OUTPORT_DURABILITY?', 'OUTPORT_LOG_LEVEL', 'OUTPORT_TLS_KEY']) {
      expect(refused.stderr).toContain(name)
    }
  })

  test('with wrong policies says file, line, column and field, and does not start', async () => {
    await using folder = await temporaryDirectory()
    await writeFile(join(folder.path, 'a.yaml'), 'kind: project\nname: x\nproxi: hub\n')
    const env = {
      OUTPORT_POLICIES: folder.path,
      OUTPORT_DATA: join(folder.path, 'data'),
      OUTPORT_LISTEN: '127.0.0.1:0',
    }
    const refused = await outport(['serve'], env)
    const checked = await outport(['policy', 'check', folder.path], {})
    expect([refused.code, checked.code]).toEqual([1, 1])
    for (const { stderr } of [refused, checked]) {
      expect(stderr).toMatch(/a\.yaml:3:1 project "x": .*unknown field "proxi"; did you mean "proxy"\?/)
    }
  })
})

describe('a running node', () => {
  test('goes on with the last good policies when the folder is broken, and follows it when it is mended', async () => {
    await using edge = await startEdge({ policies: policies() })
    await writeFile(join(edge.policies, 'mirror.yaml'), 'kind: [')
    await edge.logged(({ msg }) => msg === 'policies are wrong; the last good ones go on')
    await pull(edge.url, 'library/app', '1')

    const renamed = mirrorPolicy(upstream).replace('name: docker.io', 'name: images')
    await writeFile(join(edge.policies, 'mirror.yaml'), renamed)
    await edge.logged(({ msg }) => msg === 'policies loaded')
    await pull(edge.url, 'images/library/app', '1')
    expect((await fetchBlob(`${edge.url}/v2/docker.io/library/app/manifests/1`)).status).toBe(404)
  })

  test('reads its policies on SIGHUP, changed or not', async () => {
    await using edge = await startEdge({ policies: policies() })
    process.kill(edge.pid, 'SIGHUP')
    await edge.logged(({ msg }) => msg === 'policies loaded')
  })

  test('is alive, ready, and says what works less well than it should', async () => {
    await using gone = await startUpstream()
    const unchecked = mirrorPolicy(gone, { registry: { insecure: true } })
    await using edge = await startEdge({ policies: { 'mirror.yaml': unchecked } })
    expect(await edge.metrics('outport_upstream_insecure', { registry: 'upstream' })).toBe(1)
    expect(await (await fetch(`${edge.url}/livez`)).json()).toEqual({ status: 'ok' })
    expect(await (await fetch(`${edge.url}/readyz`)).json()).toEqual({ status: 'ok' })
    await gone.stop()
    await expect
      .poll(async () => {
        await fetch(`${edge.url}/v2/library/app/manifests/1`)
        return (await fetch(`${edge.url}/readyz`)).json()
      })
      .toMatchObject({ status: 'degraded', degraded: [{ code: 'upstream-down', about: 'upstream' }] })
    expect(await edge.metrics('outport_upstream_down')).toBe(1)
  })

  test('counts what it answers and what it asks for', async () => {
    await using edge = await startEdge({ policies: policies() })
    await pull(edge.url, 'library/app', '1')
    await pull(edge.url, 'library/app', '1')
    expect(await edge.metrics('outport_answers_total', { kind: 'blob', cache: 'fill' })).toBe(3)
    expect(await edge.metrics('outport_answers_total', { kind: 'blob', cache: 'hit' })).toBe(3)
    const bytes = [image.config, ...image.layers].reduce((sum, { bytes }) => sum + bytes.length, 0)
    expect(await edge.metrics('outport_upstream_bytes_total')).toBe(bytes)
    expect(await edge.metrics('outport_fills')).toBe(0)
  })

  test('logs each request as a line of JSON with an id of its own, which the answer carries', async () => {
    await using edge = await startEdge({ policies: policies() })
    const answer = await fetchBlob(`${edge.url}/v2/library/app/manifests/1`, {
      headers: { 'user-agent': 'a client' },
    })
    const logged = await edge.logged(({ id }) => id === answer.headers['x-request-id'])
    expect(logged).toMatchObject({
      msg: 'request',
      method: 'GET',
      path: '/v2/library/app/manifests/1',
      status: 200,
      cache: 'fill',
      agent: 'a client',
    })
  })

  test('shows no secret that passes through it, wherever it looks', async () => {
    const canary = 'canary-7f3a9b'
    await using guarded = await startUpstream({
      auth: { service: 'hub', users: { robot: `${canary}-password` } },
    })
    guarded.addImage('library/app', '1', image)
    const credential = 'credential: { username: robot, password: { env: HUB_PASSWORD } }'
    const policy = `kind: registry\nname: hub\ntype: docker-registry\nns: docker.io\nurl: ${guarded.url}\n${credential}\n---\nkind: project\nname: docker.io\nproxy: hub\npublic: ["**"]\n`
    await using edge = await startEdge({
      policies: { 'mirror.yaml': policy },
      env: { HUB_PASSWORD: `${canary}-password`, OUTPORT_LOG_LEVEL: 'trace' },
    })
    await pull(edge.url, 'library/app', '1')
    guarded.revokeTokens()
    const headers = { authorization: `Bearer ${canary}-token`, cookie: `sid=${canary}-cookie` }
    const ask = async (reference: string) => {
      const url = `${edge.url}/v2/library/app/manifests/${reference}?token=${canary}-query`
      const answer = await fetchBlob(url, { headers, keep: true })
      return JSON.stringify(answer.headers) + answer.body
    }
    const answers = [await ask('1'), await ask('none'), await ask('..%2f')]
    const metrics = await (await fetch(`${edge.url}/metrics`)).text()
    await guarded.stop()
    answers.push(await ask('2'))
    await edge.stop()
    expect(edge.output()).toContain('"msg":"request"')
    expect(edge.output() + metrics + answers.join()).not.toContain(canary)
  })
})
