import { expect, test } from 'vitest'
import { isForPlatform, parsePlatform } from '../../src/oci/platform.ts'

test.each([
  ['linux/amd64', 'linux/amd64', true],
  ['linux/amd64', 'linux/arm64', false],
  ['windows/amd64', 'linux/amd64', false],
  ['linux/arm/v7', 'linux/arm', true],
  ['linux/arm/v6', 'linux/arm/v7', false],
  ['linux/arm64', 'linux/arm64/v8', true],
  ['linux/arm64/v8', 'linux/arm64', true],
  ['linux/arm', 'linux/arm/v6', false],
])('an image for %s, where %s is wanted: %s', (image, wanted, is) => {
  expect(isForPlatform(parsePlatform(image), parsePlatform(wanted))).toBe(is)
})

test.each([
  '',
  'linux',
  'linux/',
  'linux/arm/v7/x',
  'Linux/amd64',
  'linux/amd64 ',
])('no platform: %j', (text) => {
  expect(() => parsePlatform(text)).toThrow(SyntaxError)
})
