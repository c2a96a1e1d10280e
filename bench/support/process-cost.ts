import { readdir, readFile, writeFile } from 'node:fs/promises'

/** proc(5): times are counted in hundredths of a second on every Linux that people run. */
const ticksPerSecond = 100

/** User and system time of a process with all its threads and descendants, those included that have ended. */
export async function cpuSecondsOf(pid: number): Promise<number> {
  const family = await familyOf(pid)
  return family.reduce((total, { ticks }) => total + ticks, 0) / ticksPerSecond
}

/** What a process and its descendants hold in memory now. */
export function residentBytesOf(pid: number): Promise<number> {
  return memoryOf(pid, 'VmRSS')
}

/** The most each of them has held since the last {@link forgetPeak}, added up. */
export function peakBytesOf(pid: number): Promise<number> {
  return memoryOf(pid, 'VmHWM')
}

/** proc(5), `clear_refs`: 5 resets the peak. Where that is not allowed the peak stays that of the whole life. */
export async function forgetPeak(pid: number): Promise<void> {
  for (const member of await familyOf(pid))
    await writeFile(`/proc/${member.pid}/clear_refs`, '5').catch(() => {})
}

async function memoryOf(pid: number, field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const family = await familyOf(pid)
  const sizes = family.map(async (member) => {
    const status = await readFile(`/proc/${member.pid}/status`, 'utf8')
    return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0) * 1024
  })
  return (await Promise.all(sizes)).reduce((total, bytes) => total + bytes, 0)
}

interface Member {
  pid: number
  parent: number
  /** Its own and those of the children it has waited for. */
  ticks: number
}

/** @throws when the process is gone */
async function familyOf(pid: number): Promise<Member[]> {
  const family = [await memberOf(pid)]
  const others = (await everybody()).filter((member) => member.pid !== pid)
  for (const elder of family) family.push(...others.filter(({ parent }) => parent === elder.pid))
  return family
}

async function everybody(): Promise<Member[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  // Some end while we look.
  const read = await Promise.all(pids.map((pid) => memberOf(pid).catch(() => undefined)))
  return read.filter((member) => member !== undefined)
}

/** proc(5): fields 4, and 14 to 17. The second, the name, may hold blanks and brackets. */
async function memberOf(pid: number): Promise<Member> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
  const ticks = fields.slice(11, 15).reduce((total, each) => total + each, 0)
  return { pid, parent: fields[1] ?? 0, ticks }
}
