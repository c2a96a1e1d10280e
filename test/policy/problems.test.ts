import { describe, expect, test } from 'vitest'
import { policyFolder, problemsOf, readable } from './policy-folder.ts'

const hub = 'kind: registry\nname: docker-hub\ntype: docker-hub\n'
const project = 'kind: project\nname: docker.io\n'

describe('a problem names file, line, column, document, field, what was expected and what came', () => {
  test.each<[string, string, string]>([
    [
      'a value',
      `${hub}---\n${project}proxy: docker-hub\nfreshness: [{ tag: latest, for: 5 minuts }]\n`,
      'a.yaml:8:33 project "docker.io" › freshness[0].for: expected a duration such as 5m, found "5 minuts"',
    ],
    [
      'a missing field, at its document',
      `${hub}---\nkind: project\nproxy: docker-hub\n`,
      'a.yaml:5:1 project › name: expected a name such as docker.io: lower case, no slash, found nothing',
    ],
    [
      'an unknown field, with the nearest name',
      `${hub}timeouts: { hed: 10s }\n`,
      'a.yaml:4:13 registry "docker-hub" › timeouts: expected one of the fields head, idle, found the unknown field "hed"; did you mean "head"?',
    ],
    [
      'an unknown field in a form that can be written in two ways',
      `${hub}---\n${project}proxy: { registry: docker-hub, pth: x }\n`,
      'a.yaml:7:32 project "docker.io" › proxy: expected one of the fields registry, path, found the unknown field "pth"; did you mean "path"?',
    ],
    [
      'an unknown kind, with the nearest',
      'kind: projct\nname: x\n',
      'a.yaml:1:7 kind: expected registry, project, cache, calendar or gc, found "projct"; did you mean "project"?',
    ],
    [
      'a kind of a later version',
      'kind: replication\nname: x\n',
      'a.yaml:1:7 kind: expected registry, project, cache, calendar or gc, found "replication"',
    ],
    [
      'a document that is no mapping',
      '- a\n- b\n',
      'a.yaml:1:1: expected a mapping with kind: registry, project, cache, calendar or gc, found a list',
    ],
    [
      'a reference, with the nearest name',
      `${hub}---\n${project}proxy: docker-hob\n`,
      'a.yaml:7:8 project "docker.io" › proxy: expected the name of a registry document, found "docker-hob"; did you mean "docker-hub"?',
    ],
    [
      'a calendar that is not there',
      `${hub}bandwidth: nights\n`,
      'a.yaml:4:12 registry "docker-hub" › bandwidth: expected a rate such as 20MiB/s or the name of a calendar document, found "nights"',
    ],
    [
      'a field given twice',
      `${hub}name: again\n`,
      'a.yaml:4:1: expected each field once, found the field "name" twice',
    ],
    [
      'a pattern, with the reason',
      `${hub}---\n${project}proxy: docker-hub\npublic: ["{a", "b"]\n`,
      'a.yaml:8:10 project "docker.io" › public[0]: expected a pattern such as library/** ("{" without "}"), found "{a"',
    ],
    [
      'an interval that is none',
      'kind: gc\nevery: 10ms\n',
      'a.yaml:2:8 gc › every: expected a duration such as 1d, from 1s on, or false, found "10ms"',
    ],
    [
      'a second document of which a site has one',
      'kind: gc\n---\nkind: gc\n',
      'a.yaml:3:7 gc › kind: expected one gc document a site, found "gc", which a.yaml:1:7 has too',
    ],
    [
      'a value behind an alias, where it is used',
      'kind: cache\nfills: { all: &none 0, perClient: *none }\n',
      'a.yaml:2:35 cache › fills.perClient: expected a whole number from 1 to 4096, found the number 0',
    ],
  ])('%s', async (_what, text, problem) => expect(await problemsOf(text)).toContain(problem))

  test('YAML that is none', async () => {
    expect(await problemsOf('kind: registry\nname: "x\n')).toEqual([
      'a.yaml:3:1: expected YAML, found a line without the character it needs here, such as ":", a quote or a bracket',
    ])
    expect(await problemsOf('kind: registry\n\tname: x\n')).toEqual([
      expect.stringMatching(/^a\.yaml:2:1: expected YAML, found a tab/),
    ])
  })

  test('a file that is not UTF-8, and one of more than 1 MiB', async () => {
    await using folder = await policyFolder({
      'a.yaml': Buffer.from([0xc3, 0x28]),
      'b.yaml': `# ${'x'.repeat(2 ** 20)}`,
    })
    expect(readable(await folder.load(), folder)).toEqual([
      'a.yaml: expected UTF-8, found something else',
      'b.yaml: expected at most 1 MiB, found more',
    ])
  })
})

test('all problems of all files are told at once, by place, each once', async () => {
  await using folder = await policyFolder({
    'b.yaml': `${project}proxy: hub\n`,
    'a.yaml': 'kind: registry\nname: hub\ntype: harbr\nurl: ftp://x\n---\nkind: cache\nhigh: 50%\nlow: 60%\n',
  })
  expect(readable(await folder.load(), folder)).toEqual([
    'a.yaml:3:7 registry "hub" › type: expected docker-hub, harbor, docker-registry or outport, found "harbr"; did you mean "harbor"?',
    'a.yaml:4:6 registry "hub" › url: expected an address such as https://registry.corp, found "ftp://x"',
    'a.yaml:8:6 cache › low: expected a percentage below that of high, found "60%"',
  ])
})

test('what is missing is not told while a file cannot be read, because it may stand there', async () => {
  await using folder = await policyFolder({
    'a.yaml': `${project}proxy: hub\n`,
    'b.yaml': 'kind: [registry\n',
  })
  const problems = readable(
    await folder.load({ surroundings: { mirror: { name: 'ghcr.io', set: true } } }),
    folder,
  )
  expect(problems).toEqual([expect.stringMatching(/^b\.yaml:/)])
})

describe('what two documents cannot both have names both places', () => {
  test('a name', async () => {
    await using folder = await policyFolder({ 'a.yaml': hub, 'b.yaml': `---\n${hub}ns: other.io\n` })
    expect(readable(await folder.load(), folder)).toEqual([
      'b.yaml:3:7 registry "docker-hub" › name: expected a name that no other registry has, found "docker-hub", which a.yaml:2:7 has too',
    ])
  })

  test('an ns, also where one is the default', async () => {
    const other = 'kind: registry\nname: copy\ntype: harbor\nurl: https://copy.corp\nns: Docker.IO\n'
    expect(await problemsOf(`${hub}---\n${other}`)).toEqual([
      'a.yaml:9:5 registry "copy" › ns: expected an ns that no other registry has (the default is the host of the url), found "docker.io", which a.yaml:2:7 has too',
    ])
  })

  test('a host it is served as', async () => {
    const other =
      'kind: registry\nname: copy\ntype: harbor\nurl: https://copy.corp\nserveAs: [x.corp, Y.corp]\n'
    expect(await problemsOf(`${hub}serveAs: [y.corp]\n---\n${other}`)).toEqual([
      expect.stringContaining(
        'serveAs[1]: expected a host name that no other registry is served as, found "y.corp"',
      ),
    ])
  })

  test('a second cache', async () => {
    expect(await problemsOf('kind: cache\n---\nkind: cache\nbudget: 1GiB\n')).toEqual([
      'a.yaml:3:7 cache › kind: expected one cache document a site, found "cache", which a.yaml:1:7 has too',
    ])
  })

  test('a project and a registry may share a name', async () => {
    expect(await problemsOf(`${hub}---\nkind: project\nname: docker-hub\nproxy: docker-hub\n`)).toEqual([])
  })
})

describe('YAML that would cost more than it is worth', () => {
  test('aliases that unfold', async () => {
    const lines = ['a: &a [x, x, x, x, x, x, x, x, x, x]']
    for (const [above, name] of ['ab', 'bc', 'cd', 'de', 'ef', 'fg'].map((pair) => [...pair])) {
      lines.push(`${name}: &${name} [${Array(10).fill(`*${above}`).join(', ')}]`)
    }
    expect(await problemsOf(lines.join('\n'))).toEqual([
      expect.stringContaining('unfold to far more than was written'),
    ])
  })

  test('an alias inside its own anchor', async () => {
    expect(await problemsOf('kind: cache\npins: &a [*a]\n')).toEqual([
      'a.yaml:2:11 cache › pins[0]: expected a pattern such as library/**, found a list',
    ])
  })

  test.each([
    '['.repeat(200_000),
    '- '.repeat(100_000),
    `a: ${'{a: '.repeat(100_000)}`,
  ])('depth', async (text) => {
    expect((await problemsOf(text)).join()).toMatch(/too many levels/)
  })

  test('many fields, many documents', async () => {
    const fields = Array.from({ length: 60_000 }, (_, at) => `field${at}: 1`).join('\n')
    expect(await problemsOf(`kind: cache\n${fields}`)).toHaveLength(10)
    expect(await problemsOf('---\n# nothing\n'.repeat(30_000))).toEqual([])
  })
})
