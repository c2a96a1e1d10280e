import { expect, test } from 'vitest'
import { callerOf } from '../../src/http/caller.ts'

test.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:1:2::6', '2001:db8:1:2::/64'],
  ['2001:db8::6', '2001:db8:0:0::/64'],
  ['2001:db8:0:1::', '2001:db8:0:1::/64'],
  ['::1', '0:0:0:0::/64'],
  ['fe80::1:2%eth0', 'fe80::1:2%eth0'],
])('%s counts as %s', (remoteAddress, caller) => {
  expect(callerOf({ remoteAddress })).toBe(caller)
})

test('who is gone has no address', () => {
  expect(callerOf({ remoteAddress: undefined })).toBe('')
})
