import { type Finding, type Mistake, mistakeAt } from '../findings.ts'
import type { Machine } from '../machine.ts'
import { engineFolder } from './authority-folders.ts'
import { containerdConfig, hostsFolder, ignoredHosts, readContainerd } from './containerd-config.ts'
import { daemonJson, daemonJsonMistakes } from './daemon-json.ts'
import { hostsTomlMistakes } from './hosts-toml.ts'
import { k3sMistakes, k3sRegistries } from './k3s-registries.ts'
import { registriesConf, registriesConfMistakes, registriesFolder } from './registries-conf.ts'

/** What is wrong with the files by which this machine's clients are told of mirrors. @param doors that they are to use */
export async function checkFiles(machine: Machine, doors: readonly URL[]): Promise<Finding[]> {
  const findings: Finding[] = []
  const check = async (path: string, mistakesIn: (text: string) => Mistake[]) => {
    const read = await machine.read(path)
    if (read.kind === 'unreadable') findings.push(mistakeAt(path, unreadable(read.reason)))
    if (read.kind === 'text')
      findings.push(...mistakesIn(read.text).map((mistake) => mistakeAt(path, mistake)))
  }
  const inHosts = (text: string) => hostsTomlMistakes(text, doors)
  const inRegistries = (text: string) => registriesConfMistakes(text, doors)

  await check(daemonJson, daemonJsonMistakes)
  await check(containerdConfig, () => [])
  const { settings, findings: ofContainerd } = await readContainerd(machine)
  findings.push(...ofContainerd, ...(await ignoredHosts(machine, settings)))
  for (const folder of new Set([hostsFolder, ...settings.configPath, engineFolder]))
    for (const name of await machine.list(folder)) await check(`${folder}/${name}/hosts.toml`, inHosts)
  await check(registriesConf, inRegistries)
  for (const name of await machine.list(registriesFolder))
    if (name.endsWith('.conf')) await check(`${registriesFolder}/${name}`, inRegistries)
  await check(k3sRegistries, k3sMistakes)
  return findings
}

function unreadable(reason: string): Mistake {
  return {
    code: 'file-unreadable',
    what: `it cannot be read: ${reason}`,
    advice: 'its client reads it as root: run this as root too, or mend its mode',
  }
}
