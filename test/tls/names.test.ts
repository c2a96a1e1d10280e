import type { NetworkInterfaceInfo } from 'node:os'
import { describe, expect, test } from 'vitest'
import { namesIn, namesOfMachine, parseName } from '../../src/tls/names.ts'

describe('a name for a certificate', () => {
  test.each([
    ['Edge.Example', 'edge.example'],
    ['edge', 'edge'],
    ['my_host.corp', 'my_host.corp'],
    ['*.edge.example', '*.edge.example'],
    ['bücher.example', 'xn--bcher-kva.example'],
    ['10.0.0.5', '10.0.0.5'],
    ['2001:DB8:0:0::1', '2001:db8::1'],
    ['::1', '::1'],
  ])('%s is %s', (text, name) => expect(parseName(text)).toBe(name))

  test.each([
    '',
    '*',
    '*.',
    'a.*.example',
    '*.*.example',
    'edge.example:5000',
    'https://edge.example',
    'edge.example/v2',
    'me@edge.example',
    'a b',
    '-a',
    'a..b',
    'edge.example.',
    '300.0.0.1',
    '10.0.0.5:5000',
    '[::1]',
    'fe80::1%eth0',
    'a'.repeat(64),
    `${'a.'.repeat(126)}aa`,
    'a\nb',
    'a\u0000b',
  ])('%j is none', (text) => {
    expect(() => parseName(text)).toThrow(/^expected a host name such as edge\.example .*, found "/)
  })
})

test('a machine is called by its host name and by addresses that others can reach it at', () => {
  const info = (address: string, internal = false) => ({ address, internal }) as NetworkInterfaceInfo
  const interfaces = {
    lo: [info('127.0.0.1', true), info('::1', true)],
    eth0: [info('10.0.0.5'), info('fe80::1'), info('FD00::2')],
    eth1: undefined,
  }
  const everywhere = ['localhost', '127.0.0.1', '::1', '10.0.0.5', 'fd00::2']
  expect(namesOfMachine('Edge-7', interfaces)).toEqual(['edge-7', ...everywhere])
  expect(namesOfMachine('a machine', interfaces)).toEqual(everywhere)
  expect(namesOfMachine('localhost', {})).toEqual(['localhost', '127.0.0.1', '::1'])
})

test('of what a certificate is for, names and addresses are told, and nothing that only looks like one', () => {
  const subjectAltName =
    'DNS:edge.example, URI:"https://a, DNS:other.example", URI:http://DNS:third.example, DNS:"odd, \\"DNS:x", IP Address:2001:DB8:0:0:0:0:0:1'
  expect(namesIn({ subjectAltName })).toEqual(['edge.example', 'odd, "DNS:x', '2001:db8::1'])
  expect(namesIn({ subjectAltName: undefined })).toEqual([])
})
