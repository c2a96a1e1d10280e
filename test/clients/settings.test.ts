import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { parse } from 'yaml'

const shown = new URL('../../deploy/clients/', import.meta.url)

test('k3s is told what containerd 1.x is told, which a client test proves', async () => {
  const { mirrors } = parse(await readFile(new URL('k3s-registries.yaml', shown), 'utf8'))
  const settings = await readFile(new URL('containerd-1.toml', shown), 'utf8')

  const tables = settings.matchAll(/registry\.mirrors\."(.+)"\]\n {2}endpoint = (.+)/g)
  const told = Object.fromEntries(
    [...tables].map(([, name, list]) => [name, { endpoint: JSON.parse(list ?? '') }]),
  )
  expect(Object.keys(told)).toEqual(['docker.io', 'ghcr.io'])
  expect(mirrors).toEqual(told)
})
