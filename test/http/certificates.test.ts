import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadCertificates } from '../../src/http/certificates.ts'
import { createAuthority } from '../support/certificates.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const authority = createAuthority()
const end = new Date('2031-05-06T07:08:09Z')

test('tells file, names and end of each certificate, as they are after a reload', async () => {
  await using folder = await temporaryDirectory()
  const names = [['edge.test', '127.0.0.1'], ['*.corp.test'], ['odd, DNS:other.test']]
  const files = names.map((_, at) => ({
    cert: join(folder.path, `${at}.pem`),
    key: join(folder.path, `${at}.key`),
  }))
  const write = async (at: number, notAfter: Date) => {
    const { cert, key } = authority.issue({ names: names[at] ?? [], notAfter })
    await writeFile(files[at]?.cert ?? '', cert)
    await writeFile(files[at]?.key ?? '', key)
  }
  for (const at of names.keys()) await write(at, end)

  const certificates = await loadCertificates(files)
  expect(certificates.served()).toEqual(
    names.map((list, at) => ({ file: files[at]?.cert, names: list, notAfter: end.getTime() })),
  )

  const later = new Date(end.getTime() + 86_400_000)
  await write(1, later)
  await certificates.reload()
  expect(certificates.served().map(({ notAfter }) => notAfter)).toEqual([
    end.getTime(),
    later.getTime(),
    end.getTime(),
  ])
})
