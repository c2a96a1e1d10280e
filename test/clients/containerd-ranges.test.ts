import { expect, test } from 'vitest'
import { buildImage } from '../support/images.ts'
import { describeWith } from '../support/tools.ts'
import { ctrOn } from './support/containerd.ts'
import { pushImage } from './support/push.ts'
import { startSite } from './support/site.ts'

const mebibyte = 1024 * 1024

const inRanges = `version = 3
[plugins."io.containerd.transfer.v1.local"]
  max_concurrent_downloads = 6
  concurrent_layer_fetch_buffer = ${4 * mebibyte}
`

describeWith(
  ['containerd (new)', 'ctr', 'distribution v3', 'namespaces'],
  'containerd 2 in parallel ranges',
  () => {
    test('a layer in open ranges that are left early crosses the line once', async () => {
      await using site = await startSite('distribution v3')
      const image = buildImage({ seed: 'ranges', layers: [32 * mebibyte] })
      await pushImage(site.registry, 'library/ranges', image, '1')
      await using machine = await site.startMachine()
      await machine.run('sh', ['-c', 'cat > /etc/containerd/new.toml'], { input: inRanges })
      const client = await ctrOn(machine)

      expect(await client.pull('docker.io/library/ranges:1')).toContain(image.manifest.digest)

      const layer = `/blobs/${image.layers[0]?.digest}`
      const rangesAsked = site.front.requests.filter(
        ({ url, headers }) => url.includes(layer) && headers.range,
      )
      expect(rangesAsked.length).toBeGreaterThan(3)
      const size = image.layers[0]?.bytes.length ?? 0
      expect(await site.fetchedBytes()).toBeGreaterThan(size)
      expect(await site.fetchedBytes()).toBeLessThanOrEqual(size * 1.05)
      expect(site.hub.take()).toEqual([])
    })
  },
)
