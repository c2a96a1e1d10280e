import { describe, expect, test } from 'vitest'
import { parseTag } from '../../src/oci/reference.ts'
import { formatWarning } from '../../src/policy/problem.ts'
import { isPublic, mayShadow, onlyMirrors, type Project } from '../../src/projects/project.ts'
import { type Given, policyFolder, problemsOf, siteOf } from './policy-folder.ts'

const hub = 'kind: registry\nname: docker-hub\ntype: docker-hub\n'
const mirror = 'kind: project\nname: docker.io\nproxy: docker-hub\npublic: true\n'

async function projectOf(fields: string): Promise<Project> {
  const site = await siteOf(`${hub}---\nkind: project\nname: p\n${fields}\n`)
  const project = site.projects.get('p')
  if (!project) throw new Error('the project is missing')
  return project
}

describe('a registry', () => {
  test('has what Docker Hub needs by its type alone', async () => {
    expect((await siteOf(hub)).registries.get('docker-hub')).toEqual({
      name: 'docker-hub',
      type: 'docker-hub',
      urls: ['https://registry-1.docker.io'],
      ns: 'docker.io',
      serveAs: [],
      tokenHosts: ['auth.docker.io'],
      redirectHosts: [],
      insecure: false,
      connections: 32,
      segments: 'auto',
      timeouts: { headMs: 10_000, idleMs: 30_000 },
    })
  })

  test('says all that it can', async () => {
    const fields = [
      'urls: ["https://Harbor.corp:8443/prefix/", "http://10.0.0.7"]',
      'address: "[fd00::7]:443"',
      'serveAs: [Harbor.corp]',
      'tokenHosts: [login.corp]',
      'redirectHosts: ["minio.corp:9000"]',
      'insecure: true',
      'bandwidth: 20MiB/s',
      'connections: 4',
      'timeouts: { head: 300ms }',
      'budget: { reserve: 10% }',
      'segments: 4',
    ]
    const site = await siteOf(`kind: registry\nname: hq\ntype: harbor\n${fields.join('\n')}\n`)
    expect(site.registries.get('hq')).toEqual({
      name: 'hq',
      type: 'harbor',
      urls: ['https://harbor.corp:8443/prefix', 'http://10.0.0.7'],
      address: '[fd00::7]:443',
      ns: 'harbor.corp:8443',
      serveAs: ['harbor.corp'],
      tokenHosts: ['login.corp'],
      redirectHosts: ['minio.corp:9000'],
      insecure: true,
      bandwidth: 20 * 2 ** 20,
      budget: { reserve: { kind: 'fraction', fraction: 0.1 } },
      connections: 4,
      timeouts: { headMs: 300, idleMs: 30_000 },
      segments: 4,
    })
  })

  test.each([
    ['url: https://a.io\nurls: [https://b.io]', 'urls: expected either url or urls'],
    ['', 'url: expected an address such as https://registry.corp, found nothing'],
    ['urls: []', 'urls: expected at least one address'],
    ['url: file:///etc/passwd', 'url: expected an address'],
    ['url: gopher://a.io', 'url: expected an address'],
    ['url: "https:a.io"', 'url: expected an address'],
    ['url: "https://a.io\\\\@b.io"', 'url: expected an address'],
    ['url: https://a.io\nns: https://a.io', 'ns: expected a host'],
    ['url: https://a.io\nserveAs: ["a.io:443"]', 'serveAs[0]: expected a host name'],
    ['url: https://a.io\naddress: "a.io:99999"', 'address: expected a host'],
    ['url: https://a.io\nbandwidth: 20MiB', 'bandwidth: expected a rate'],
    ['url: https://a.io\nbandwidth: 20/s', 'bandwidth: expected a rate'],
    ['url: https://a.io\ntimeouts: { idle: 2h }', 'timeouts.idle: expected a duration such as 10s, up to 1h'],
    ['url: https://a.io\ninsecure: "yes"', 'insecure: expected true or false, found "yes"'],
  ])('is refused with %j', async (fields, problem) => {
    const problems = await problemsOf(`kind: registry\nname: a\ntype: docker-registry\n${fields}\n`)
    expect(problems).toEqual([expect.stringContaining(`registry "a" › ${problem}`)])
  })

  test('of a type whose content is files is not there yet', async () => {
    expect(await problemsOf('kind: registry\nname: a\ntype: oci-layout\nurl: https://a.io\n')).toEqual([
      'a.yaml:3:7 registry "a" › type: expected docker-hub, harbor, docker-registry or outport, found "oci-layout"',
    ])
  })
})

describe('a project', () => {
  test('is hosted, private, and can be pushed to, when it says nothing', async () => {
    const project = await projectOf('')
    expect(project).toMatchObject({ push: true, public: false, prefetch: false, sparse: false })
    expect(project.proxy).toBeUndefined()
    expect(project.stale).toEqual({ when: 'upstream-error', forMs: 7 * 86_400_000 })
  })

  test('mirrors a registry, or a path of it, and cannot be pushed to', async () => {
    expect(await projectOf('proxy: docker-hub')).toMatchObject({
      proxy: { registry: 'docker-hub', path: '' },
      push: false,
    })
    const path = await projectOf('proxy: { registry: docker-hub, path: team/base }\npush: true')
    expect(path).toMatchObject({ proxy: { registry: 'docker-hub', path: 'team/base' }, push: true })
  })

  test('with both lets all tags be pushed, or those that shadow names', async () => {
    const mayPush = async (fields: string) => {
      const project = await projectOf(`proxy: docker-hub\npush: true\n${fields}`)
      return ['latest', '1.27-acme'].map((tag) => mayShadow(project, parseTag(tag)))
    }
    expect(await mayPush('')).toEqual([true, true])
    expect(await mayPush('shadow: ["*-acme"]')).toEqual([false, true])
  })

  test.each([
    ['', 'shadow: expected shadow only in a project with proxy and push: true, found a hosted project'],
    [
      'proxy: docker-hub',
      'expected shadow only in a project with proxy and push: true, found a proxy project',
    ],
  ])('has nothing to shadow with %j', async (fields, problem) => {
    const text = `${hub}---\nkind: project\nname: p\n${fields}\nshadow: ["v*"]\n`
    expect(await problemsOf(text)).toEqual([
      expect.stringMatching(new RegExp(`^a.yaml:\\d+:9 project "p" › .*${problem}$`)),
    ])
  })

  test.each([
    ['latest', 'shadow: expected a list of patterns such as v*-acme, found "latest"'],
    ['[]', 'shadow: expected a list of at least one pattern'],
    ['["{"]', 'shadow[0]: expected a pattern'],
  ])('has no shadow %s', async (shadow, problem) => {
    const text = `${hub}---\nkind: project\nname: p\nproxy: docker-hub\npush: true\nshadow: ${shadow}\n`
    expect((await problemsOf(text)).join('\n')).toContain(problem)
  })

  test('fetches ahead what is asked for, or the platforms that it names', async () => {
    expect((await projectOf('prefetch: true')).prefetch).toEqual({ platforms: [] })
    const named = await projectOf('prefetch: { platforms: [linux/amd64, linux/arm/v7] }')
    expect(named.prefetch).toEqual({
      platforms: [
        { os: 'linux', architecture: 'amd64' },
        { os: 'linux', architecture: 'arm', variant: 'v7' },
      ],
    })
  })

  test.each([
    ['yes', 'prefetch: expected true, false or { platforms: [linux/amd64] }, found "yes"'],
    ['{ platforms: [] }', 'prefetch.platforms: expected a list of at least one platform'],
    ['{ platforms: [amd64] }', 'prefetch.platforms[0]: expected a platform such as linux/amd64'],
    ['{ platform: [linux/amd64] }', 'did you mean "platforms"?'],
  ])('does not fetch ahead %s', async (prefetch, problem) => {
    const problems = await problemsOf(`${hub}---\nkind: project\nname: p\nprefetch: ${prefetch}\n`)
    expect(problems.join('\n')).toContain(problem)
  })

  test.each(['/team', 'team/', 'Team', 'a//b', '../a'])('has no path %j', async (path) => {
    const text = `${hub}---\nkind: project\nname: p\nproxy: { registry: docker-hub, path: ${path} }\n`
    expect(await problemsOf(text)).toEqual([
      expect.stringContaining('proxy.path: expected a path such as team'),
    ])
  })

  test.each(['Team', 'a/b', '..', 'a b', '-a', ''])('has no name %j', async (name) => {
    expect(await problemsOf(`kind: project\nname: ${JSON.stringify(name)}\n`)).toEqual([
      expect.stringContaining('name: expected a name such as docker.io'),
    ])
  })

  test('is public by patterns over the names in it', async () => {
    const project = await projectOf('public: ["library/**", "a/{b,c}"]')
    expect(['library/nginx', 'a/c', 'a/d', 'corp/secret'].map((path) => isPublic(project, path))).toEqual([
      true,
      true,
      false,
      false,
    ])
  })

  test('checks latest after 5 minutes and the rest after an hour, unless its own rules match first', async () => {
    const minutesOf = ({ freshness }: Project, tag: string) =>
      (freshness.find((rule) => rule.tag(tag))?.forMs ?? 0) / 60_000
    const usual = await projectOf('')
    const own = await projectOf('freshness: [{ tag: "v*", for: 7d }]')
    const all = await projectOf('freshness: [{ tag: "**", for: 2m }]')
    expect(['latest', 'v1'].map((tag) => minutesOf(usual, tag))).toEqual([5, 60])
    expect(['latest', 'v1', '1'].map((tag) => minutesOf(own, tag))).toEqual([5, 7 * 24 * 60, 60])
    expect(['latest', 'v1'].map((tag) => minutesOf(all, tag))).toEqual([2, 2])
  })
})

describe('the cache', () => {
  test('has defaults without a document', async () => {
    expect((await siteOf(hub)).cache).toEqual({
      high: 0.95,
      low: 0.85,
      reserve: 0.05,
      pins: [],
      fills: { all: 64, perUpstream: 32, perClient: 16 },
      memory: 64 * 2 ** 20,
      scrub: { everyMs: 30 * 86_400_000, rate: 16 * 2 ** 20 },
    })
  })

  test('is read through as often as the document says, or not at all', async () => {
    const scrubOf = async (scrub: string) => (await siteOf(`kind: cache\nscrub: ${scrub}\n`)).cache.scrub
    expect(await scrubOf('false')).toBe(false)
    expect(await scrubOf('{ every: 7d }')).toEqual({ everyMs: 7 * 86_400_000, rate: 16 * 2 ** 20 })
    expect(await scrubOf('{ rate: 1MiB/s }')).toEqual({ everyMs: 30 * 86_400_000, rate: 2 ** 20 })
  })

  test('has a budget in bytes, or of the disk where that is known', async () => {
    const budgetOf = async (budget: string, diskBytes?: number) =>
      (await siteOf(`kind: cache\nbudget: ${budget}\n`, { surroundings: diskBytes ? { diskBytes } : {} }))
        .cache.budget
    expect(await budgetOf('20GB', 1000)).toBe(20e9)
    expect(await budgetOf('80 %', 1001)).toBe(800)
    expect(await budgetOf('50%')).toBeUndefined()
    expect((await siteOf(hub, { surroundings: { diskBytes: 1000 } })).cache.budget).toBe(800)
  })
})

test('garbage goes every day, and as the document says', async () => {
  const day = 86_400_000
  expect((await siteOf(hub)).gc).toEqual({ everyMs: day, graceMs: day })
  const gcOf = async (text: string) => (await siteOf(`kind: gc\n${text}\n`)).gc
  expect(await gcOf('every: false')).toEqual({ everyMs: false, graceMs: day })
  expect(await gcOf('every: 1s\ngrace: 2h\nuntagged: 7d')).toEqual({
    everyMs: 1000,
    graceMs: day / 12,
    untaggedMs: 7 * day,
  })
})

describe('what a mirror opens to everybody with a credential is named', () => {
  const login = `${hub}credential: { username: me, password: { env: T } }\n`
  const given: Given = { env: { T: 'x' } }

  test('not with public: true', async () => {
    expect(await problemsOf(`${login}---\n${mirror}`, given)).toEqual([
      'a.yaml:9:9 project "docker.io" › public: expected false, or a list of patterns, because registry "docker-hub" is asked with a credential, found true',
    ])
  })

  test('but with a list, or as a private project', async () => {
    expect(await problemsOf(`${login}---\n${mirror.replace('true', '["library/**"]')}`, given)).toEqual([])
    expect(await problemsOf(`${login}---\n${mirror.replace('true', 'false')}`, given)).toEqual([])
  })
})

describe('the mirror door', () => {
  const unset: Given = { surroundings: { mirrorListen: 'unset' } }
  const projects = {
    hosted: 'kind: project\nname: team\npublic: true\n',
    private: 'kind: project\nname: team\nproxy: docker-hub\n',
    virtual: 'kind: project\nname: team\nproxy: docker-hub\npush: true\npublic: true\n',
  }

  test.each(
    Object.entries(projects),
  )('has to be spoken of before the first %s project', async (kind, project) => {
    const text = `${hub}---\n${mirror}---\n${project}`
    const problems = await problemsOf(text, unset)
    expect(problems).toEqual([
      expect.stringMatching(`a.yaml:10:\\d+ project "team".*OUTPORT_MIRROR_LISTEN.* a ${kind} project`),
    ])
    expect(await problemsOf(text, { surroundings: { mirrorListen: 'off' } })).toEqual([])
    expect(await problemsOf(text, { surroundings: { mirrorListen: 'set' } })).toEqual([])
  })

  test('need not while everything is a public mirror', async () => {
    const site = await siteOf(`${hub}---\n${mirror}`, unset)
    expect(onlyMirrors(site)).toBe(true)
  })

  test('has a default mirror that is there, when one was asked for', async () => {
    const asked = (name: string): Given => ({ surroundings: { mirror: { name, set: true } } })
    expect(await problemsOf(`${hub}---\n${mirror}`, asked('docker.io'))).toEqual([])
    expect(await problemsOf(`${hub}---\n${mirror}`, asked('docker.oi'))).toEqual([
      'OUTPORT_MIRROR: expected the name of a public proxy project, found "docker.oi", which is none of the folder; did you mean "docker.io"?',
    ])
    expect(await problemsOf(`${hub}---\n${projects.private}`, asked('team'))).toEqual([
      'OUTPORT_MIRROR: expected the name of a public proxy project, found "team", which is a private one',
    ])
    expect(await problemsOf(hub, { surroundings: { mirror: { name: 'docker.io', set: false } } })).toEqual([])
  })
})

test('what is right but may surprise is a warning', async () => {
  await using folder = await policyFolder({
    'a.yaml': [
      'kind: registry\nname: hq\ntype: harbor\nurl: http://harbor.corp\nserveAs: [harbor.corp]\ninsecure: true',
      'credential: { username: me, password: { env: T } }\nsegments: 4\nbudget: { reserve: 5 }\nbandwidth: nights',
      '---\nkind: calendar\nname: nights\nhours: [{ days: [fri-mon, wed], from: "22:00", to: "06:00", bandwidth: 1MiB/s }]',
      '---\nkind: project\nname: p\nproxy: hq\nprefetch: true\n---\nkind: project\nname: q\npublic: true\nprefetch: true\n',
    ].join('\n'),
    'b.yml': 'kind: nonsense\n',
    '.c.yaml': 'kind: nonsense\n',
    'd.yaml.bak': 'kind: nonsense\n',
    'sub/e.yaml': 'kind: nonsense\n',
  })
  const loaded = await folder.load({ env: { T: 'x' } })
  const warnings = 'site' in loaded ? loaded.warnings.map(formatWarning) : []
  expect(warnings.map((warning) => warning.replaceAll(folder.path, ''))).toEqual([
    ': b.yml is not read: policies are *.yaml',
    '/a.yaml:24:11 project "q" › prefetch: without proxy there is nothing to fetch',
    '/a.yaml:6:11 registry "hq" › insecure: its certificate is not checked',
    '/a.yaml:7:13 registry "hq" › credential: the credential goes over plain http',
    '/a.yaml:5:10 registry "hq" › serveAs: without address, this site may find itself under the name of the url',
  ])
})

test('all of a cache document acts', async () => {
  const cache =
    'kind: cache\nbudget: 200GiB\nhigh: 96%\nlow: 80%\nreserve: 5%\nmaxAge: 90d\npins: ["**"]\nfills: { all: 8 }\nmemory: 32MiB\n'
  await using folder = await policyFolder({ 'a.yaml': `${hub}---\n${mirror}---\n${cache}` })
  const loaded = await folder.load()
  expect('site' in loaded && loaded.warnings).toEqual([])
})

test('one blob comes over 8 connections at most', async () => {
  const of = (segments: number | string) => problemsOf(`${hub}segments: ${segments}\n`)
  expect(await of(8)).toEqual([])
  expect((await of(9)).join()).toContain('expected a whole number from 1 to 8, found')
  expect((await of('many')).join()).toContain('expected auto or a whole number from 1 to 8, found')
})
