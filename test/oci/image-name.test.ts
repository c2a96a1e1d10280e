import { describe, expect, test } from 'vitest'
import { parseImageName } from '../../src/oci/image-name.ts'

const digest = `sha256:${'ab'.repeat(32)}`
const tagged = (tag: string) => ({ reference: { kind: 'tag', tag } })
const byDigest = { reference: { kind: 'digest', digest } }

test.each([
  ['nginx', { path: 'nginx' }],
  ['library/nginx:1.27', { path: 'library/nginx', ...tagged('1.27') }],
  ['docker.io/library/nginx', { host: 'docker.io', path: 'library/nginx' }],
  [`ghcr.io/org/app@${digest}`, { host: 'ghcr.io', path: 'org/app', ...byDigest }],
  [`ghcr.io/org/app:v1@${digest}`, { host: 'ghcr.io', path: 'org/app', ...byDigest }],
  ['localhost/app', { host: 'localhost', path: 'app' }],
  ['edge:5000/app:1', { host: 'edge:5000', path: 'app', ...tagged('1') }],
  ['Harbor.Corp:8443/team/app', { host: 'harbor.corp:8443', path: 'team/app' }],
  ['team/app', { path: 'team/app' }],
  ['my.app', { path: 'my.app' }],
])('%s', (text, name) => {
  expect(parseImageName(text)).toEqual(name)
})

describe('no image', () => {
  test.each([
    '',
    'Nginx',
    'nginx:',
    'nginx:a:b',
    'nginx:a/b',
    '/nginx',
    'nginx/',
    'docker.io/',
    'a//b',
    'https://docker.io/nginx',
    'nginx@sha256:ab',
    `nginx@${digest}@${digest}`,
    'nginx 1',
    '../etc/passwd',
    'ghcr.io/%2e%2e/x',
    `${'a/'.repeat(200)}a`,
  ])('%j', (text) => {
    expect(() => parseImageName(text)).toThrow(/^expected an image such as .*, found "/)
  })
})
