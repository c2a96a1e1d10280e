import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createAuthority } from '../support/certificates.ts'
import { policyFolder, problemsOf, readable, siteIn, siteOf } from './policy-folder.ts'

const canary = 'hunter2-Canary'
const hub = 'kind: registry\nname: docker-hub\ntype: docker-hub\n'

describe('a secret in the wrong place is a problem that does not repeat it', () => {
  test.each([
    `credential: { username: me, password: ${canary} }`,
    `credential: { username: me, password: "${canary}" }`,
    `credential: ${canary}`,
    `credential: me:${canary}`,
    `credential: { username: me, password:${canary} }`,
    `credential: { username: me, ${canary}: 1 }`,
    `credential: { username: me, pasword: ${canary} }`,
    `credential: { username: me, password: { env: "$${canary}" } }`,
    `credential: { username: me, password: { env: ${canary.replace('-', '_')} } }`,
    `credential: { username: me, password: { file: /${canary} } }`,
    `credential: { username: me, password: { env: A, file: ${canary} } }`,
    `credential: { username: me, password: *${canary} }`,
    `credential: { username: me, password: !${canary} x }`,
    `credential: { username: me, password: @${canary} }`,
    `credential: { username: me, password: {${canary}}}`,
    `credential: { username: me, password: [${canary}] }`,
    `credential: { username: [${canary}], password: ${canary}`,
    `credential:${canary}`,
    `credentials: { password: ${canary} }`,
    `password: ${canary}`,
    `url: https://me:${canary}@registry.corp`,
    `url: https://me:${canary}@registry.corp/@/x`,
    `url: me:${canary}@registry.corp`,
    `url: https://registry.corp/?token=${canary}`,
    `url: https://registry.corp/#${canary}`,
    `address: me:${canary}@registry.corp`,
    `clientCertificate: { cert: a, key: "-----BEGIN PRIVATE KEY-----\\n${canary}" }`,
    `ca: "-----BEGIN CERTIFICATE-----\\n${canary}"`,
  ])('%s', async (line) => {
    const problems = await problemsOf(`${hub}${line}\n`)
    expect(problems).not.toEqual([])
    expect(problems.join('\n')).not.toMatch(/hunter2|Canary/)
  })

  test('whatever else is wrong around it', async () => {
    const value = fc.oneof(
      fc.constant(canary),
      fc.constant([canary]),
      fc.record({ env: fc.constant(canary) }),
      fc.record({ [canary]: fc.constant(1) }),
      fc.dictionary(fc.constantFrom('username', 'password', 'passwrd', 'env', 'file'), fc.constant(canary)),
    )
    await fc.assert(
      fc.asyncProperty(
        value,
        fc.constantFrom('', 'tpye: x\n', 'ns: "@"\n', '---\n'),
        async (credential, noise) => {
          const problems = await problemsOf(`${hub}credential: ${JSON.stringify(credential)}\n${noise}`)
          expect(problems.join('\n')).not.toContain(canary)
        },
      ),
      { numRuns: 60 },
    )
  })
})

test('a password in the clear is told how to write it', async () => {
  expect(await problemsOf(`${hub}credential: { username: me, password: ${canary} }\n`)).toEqual([
    'a.yaml:4:39 registry "docker-hub" › credential.password: expected { env: NAME } or { file: /path }, never the password itself, found a value that is not shown',
  ])
})

describe('passwords', () => {
  test('come from the environment', async () => {
    const text = `${hub}credential: { username: me, password: { env: HUB_TOKEN } }\n`
    const site = await siteOf(text, { env: { HUB_TOKEN: canary } })
    expect(site.registries.get('docker-hub')?.credential).toEqual({ username: 'me', password: canary })
    const without: Record<string, string>[] = [{}, { HUB_TOKEN: '' }]
    for (const env of without) {
      expect(await problemsOf(text, { env })).toEqual([
        'a.yaml:4:46 registry "docker-hub" › credential.password.env: expected an environment variable that is set, found one that is not',
      ])
    }
  })

  test('come from a file, relative to the folder, without the end of its line', async () => {
    const text = `${hub}credential: { username: me, password: { file: secrets/hub } }\n`
    await using folder = await policyFolder({ 'a.yaml': text, 'secrets/hub': ` ${canary} \n` })
    expect(siteIn(await folder.load()).registries.get('docker-hub')?.credential?.password).toBe(` ${canary} `)

    await folder.write('secrets/hub', '\n')
    expect(readable(await folder.load(), folder)).toEqual([expect.stringContaining('a file with a password')])
  })
})

test('certificates and keys are read, relative to the folder, and are what they should be', async () => {
  const authority = createAuthority()
  const client = authority.issue({ names: ['client'] })
  const text = `${hub}ca: ca.pem\nclientCertificate: { cert: client.pem, key: client.key }\n`
  await using folder = await policyFolder({
    'a.yaml': text,
    'ca.pem': authority.ca,
    'client.pem': client.cert,
    'client.key': client.key,
  })
  expect(siteIn(await folder.load()).registries.get('docker-hub')).toMatchObject({
    ca: authority.ca,
    clientCertificate: client,
  })

  await folder.write('ca.pem', client.key)
  await folder.write('client.key', client.cert)
  const problems = readable(await folder.load(), folder)
  expect(problems).toHaveLength(2)
  expect(problems.join('\n')).not.toContain('BEGIN')
})
