import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { hostname, networkInterfaces } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import { commandsAt, isListening } from '../admin/client.ts'
import { socketName } from '../admin/socket.ts'
import type { Config } from '../config/config.ts'
import { messageOf } from '../flow/message-of.ts'
import { unlessAbsent } from '../flow/unless-absent.ts'
import { clientSteps, formatStep, proposedPort } from '../tls/client-steps.ts'
import { type Described, describe, formatCertificate, readCertificates } from '../tls/described.ts'
import { namesIn, namesOfMachine, parseName } from '../tls/names.ts'
import { type OwnFiles, ownFilesOf } from '../tls/own-files.ts'
import { configOf, interrupted, jsonLine, type Output } from './context.ts'

const examples = `
Examples:
  outport tls init                              for the names and addresses of this machine
  outport tls init edge.example 10.0.0.5        for these
  outport tls init                              again: a new certificate for the same names, of the same authority
  OUTPORT_LISTEN=https://:5443,http://:5000 outport serve
`

export function addTls(program: Command): void {
  const tls = program.command('tls').description('certificates for doors that speak https')

  tls
    .command('init')
    .description(
      'make a certificate for 397 days, and at first the authority for ten years that clients are to trust',
    )
    .argument(
      '[names...]',
      'host names and IP addresses (default: those it has, at first those of this machine)',
    )
    .option('--new-ca', 'make another authority: no client trusts this node until it is given that one')
    .addHelpText('after', examples)
    .action(init)

  tls
    .command('show')
    .description('the certificates of this node: names, issuer, until when')
    .option('--json', 'for scripts')
    .action(show)
}

async function init(given: string[], { newCa = false }: { newCa?: boolean }): Promise<void> {
  const { data, listen } = configOf()
  const files = ownFilesOf(data)
  const names = [...new Set(given.map(parseName))]
  await expectOwner(data)
  // The X.509 library is for this alone.
  const { makeOwnCertificates } = await import('../tls/own-certificates.ts')
  const isNew = await makeOwnCertificates({
    ...{ files, names, newCa, host: hostname(), now: new Date() },
    namesOfMachine: namesOfMachine(hostname(), networkInterfaces()),
  })

  if (newCa)
    process.stderr.write(
      `outport: every client must now be given ${files.ca}; the old one is ${files.ca}.old\n`,
    )
  await print('certificate', files.cert)
  await print(isNew ? 'new authority' : 'authority', files.ca)
  await tellNode(join(data, socketName), files.cert)
  process.stdout.write(await nextSteps(files, listen))
}

async function print(title: string, file: string): Promise<void> {
  const [certificate] = await readCertificates(file)
  process.stdout.write(formatCertificate(title, describe(file, certificate), Date.now()))
}

async function nextSteps({ cert, ca }: OwnFiles, doors: Config['listen']): Promise<string> {
  const [certificate] = await readCertificates(cert)
  const sha256 = createHash('sha256')
    .update(await readFile(ca))
    .digest('hex')
  const steps = clientSteps({ names: namesIn(certificate), doors, sha256 }).map(formatStep)
  if (doors.some(({ scheme }) => scheme === 'https')) return steps.join('')
  const [{ port } = { port: 5000 }] = doors
  return `open an https door: OUTPORT_LISTEN=http://:${port},https://:${proposedPort}\n${steps.join('')}`
}

/** Files of another user could not be read by the node. */
async function expectOwner(data: string): Promise<void> {
  const folder = await unlessAbsent(stat(data))
  if (folder && process.getuid?.() === 0 && folder.uid !== 0)
    throw new Error(`${data} belongs to user ${folder.uid}, whom the node runs as: run this as that user`)
}

/** A node that runs serves the new one from now on, unless it is told of others. */
async function tellNode(socket: string, cert: string): Promise<void> {
  if (!(await isListening(socket))) return
  try {
    for await (const served of commandsAt(socket).reloadCertificates({}, interrupted())) {
      const files = served.map(({ file }) => file)
      const instead = files.length > 0 ? `serves ${files.join(', ')} instead` : 'has no https door'
      process.stdout.write(`the node ${files.includes(cert) ? 'serves it' : instead}\n`)
    }
  } catch (cause) {
    throw new Error(`the node goes on with the old ones: ${messageOf(cause)}`, { cause })
  }
}

async function show({ json }: Output): Promise<void> {
  const { tls, tlsIsOwn, tlsCa } = configOf()
  const certificates = await Promise.all(tls.map(({ cert }) => read(cert, tlsIsOwn)))
  const authority = tlsCa && (tlsCa.isRequired ? await read(tlsCa.file) : await find(tlsCa.file))
  if (json) {
    process.stdout.write(jsonLine({ certificates, ...(authority && { authority }) }))
    return
  }
  const now = Date.now()
  process.stdout.write(certificates.map((each) => formatCertificate('certificate', each, now)).join(''))
  if (authority) process.stdout.write(formatCertificate('authority', authority, now))
}

async function read(file: string, isOwn = false): Promise<Described> {
  const found = await find(file)
  if (found) return found
  throw new Error(isOwn ? `there is no ${file}: run outport tls init` : `there is no ${file}`)
}

async function find(file: string): Promise<Described | undefined> {
  const [certificate] = (await unlessAbsent(readCertificates(file))) ?? []
  return certificate && describe(file, certificate)
}
