import { createHash } from 'node:crypto'
import { mkdir, open, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { basic, password } from '../support/hosted.ts'
import { type Content, contentOf } from '../support/images.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { pull } from '../support/pull.ts'
import { tarOf } from '../support/tar.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { describeWith, toolPath } from '../support/tools.ts'
import { startPushSite } from './support/push-site.ts'
import { dockerPushing } from './support/pushing-docker.ts'
import { cranePushing } from './support/pushing-tools.ts'

const fileBytes = 16 * 1024 * 1024
const files = 64
const shown = basic('admin', password)
const long = { timeoutMs: 240_000 }

describeWith(
  ['crane', 'docker', 'dockerd (new)', 'runc', 'namespaces'],
  'an image of 1 GiB in one layer',
  () => {
    test('is pushed by crane, and by Docker Engine 29 to another site', { timeout: 600_000 }, async () => {
      await using folder = await temporaryDirectory()
      await using one = await startPushSite()
      await using other = await startPushSite({ name: 'other' })
      await using machine = await one.startMachine(other)
      const image = await writeLayout(folder.path)
      const from = `${one.host}/open/large:1`

      await cranePushing(machine, one)
      await machine.run(toolPath('crane'), ['--insecure', 'push', folder.path, from], long)
      const docker = await dockerPushing(machine, other, 'new')
      expect(await docker.copy(from, `${other.host}/team/large:1`)).toBe(image.digest)

      const pulled = await pull(other.edge.url, 'team/large', '1', { headers: shown })
      expect(pulled.digest).toBe(image.digest)
      expect(pulled.bytes).toBeGreaterThan(files * fileBytes)
    })
  },
)

/** Writes an OCI image layout without having all of its layer in memory. @returns the manifest */
async function writeLayout(folder: string): Promise<Content> {
  const blobs = join(folder, 'blobs/sha256')
  await mkdir(blobs, { recursive: true })
  const put = async (content: Content) => {
    await writeFile(join(blobs, content.digest.slice('sha256:'.length)), content.bytes)
    const { mediaType, digest, bytes } = content
    return { mediaType, digest, size: bytes.length }
  }
  const json = (value: object) => Buffer.from(JSON.stringify(value))
  const layer = await writeLayer(blobs)
  const rootfs = { type: 'layers', diff_ids: [layer.digest] }
  const platform = { os: 'linux', architecture: 'amd64' }
  const config = await put(
    contentOf('application/vnd.oci.image.config.v1+json', json({ ...platform, config: {}, rootfs })),
  )
  const mediaType = mediaTypes.ociManifest
  const manifest = contentOf(mediaType, json({ schemaVersion: 2, mediaType, config, layers: [layer] }))
  const manifests = [await put(manifest)]
  await writeFile(join(folder, 'index.json'), json({ schemaVersion: 2, manifests }))
  await writeFile(join(folder, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }))
  return manifest
}

async function writeLayer(folder: string) {
  const draft = join(folder, 'layer')
  const hash = createHash('sha256')
  let size = 0
  {
    await using file = await open(draft, 'w')
    const write = async (bytes: Uint8Array) => {
      hash.update(bytes)
      size += bytes.length
      await file.writeFile(bytes)
    }
    for (let at = 0; at < files; at++) {
      const archive = tarOf([{ name: `${at}.bin`, bytes: pseudoRandomBytes(fileBytes, `large ${at}`) }])
      // Two empty blocks end an archive.
      await write(at === files - 1 ? archive : archive.subarray(0, -1024))
    }
  }
  const hex = hash.digest('hex')
  await rename(draft, join(folder, hex))
  return { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: `sha256:${hex}`, size }
}
