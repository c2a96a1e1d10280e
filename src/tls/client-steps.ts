import { isIPv6 } from 'node:net'

/** What is to be done on a client's machine, as commands for the shell of its root. */
export interface ClientStep {
  title: string
  lines: string[]
}

export interface ClientStepsOptions {
  /** Of the certificate. */
  names: readonly string[]
  /** Where clients reach this site. */
  doors: readonly { scheme: 'http' | 'https'; port: number }[]
  /** Of the file of the authority. */
  sha256: string
}

const file = 'outport-ca.crt'
const k3s = '/etc/rancher/k3s'
/** Where no door speaks https yet. */
export const proposedPort = 5443

/** How each kind of client comes to trust this site. The first step is for all of them. */
export function clientSteps({ names, doors, sha256 }: ClientStepsOptions): ClientStep[] {
  const name = nameForClients(names)
  const secure = doors.find(({ scheme }) => scheme === 'https')
  const plain = doors.find(({ scheme }) => scheme === 'http')
  const host = withPort(name, secure?.port ?? proposedPort, 443)
  const site = plain ? `http://${withPort(name, plain.port, 80)}` : `https://${host}`
  const certs = `/etc/containerd/certs.d/${host}`
  return [
    {
      title: 'on each client, as root: fetch the authority, and see that it is this one',
      lines: [
        // What is fetched is trusted for its sum alone.
        `curl -fsS${plain ? '' : 'k'}o ${file} ${site}/api/v2.0/systeminfo/getcert`,
        `echo '${sha256}  ${file}' | sha256sum -c`,
      ],
    },
    { title: 'docker, by name', lines: [put(`/etc/docker/certs.d/${host}/ca.crt`)] },
    { title: 'podman, skopeo, buildah, CRI-O', lines: [put(`/etc/containers/certs.d/${host}/ca.crt`)] },
    {
      title: 'containerd (as a mirror: the same ca line in the hosts.toml of what it mirrors)',
      lines: [put(`${certs}/ca.crt`), `cat > ${certs}/hosts.toml <<'END'`, ...hostsToml(host, certs), 'END'],
    },
    {
      title: `k3s: in ${k3s}/registries.yaml, configs: { "${host}": { tls: { ca_file: ${k3s}/${file} } } }`,
      lines: [put(`${k3s}/${file}`)],
    },
    {
      title:
        'crane, curl and the rest of a Debian or Ubuntu; docker with a mirror, which is then to be restarted',
      lines: [put('/usr/local/share/ca-certificates/outport.crt'), 'update-ca-certificates'],
    },
    {
      title: 'the same for Red Hat, Fedora and the like',
      lines: [put('/etc/pki/ca-trust/source/anchors/outport.crt'), 'update-ca-trust'],
    },
  ]
}

export function formatStep({ title, lines }: ClientStep): string {
  return `\n${title}\n${lines.map((line) => `  ${line}\n`).join('')}`
}

function hostsToml(host: string, folder: string): string[] {
  return [
    `server = "https://${host}"`,
    `[host."https://${host}"]`,
    'capabilities = ["pull", "resolve"]',
    `ca = "${folder}/ca.crt"`,
  ]
}

/** Clients on other machines have no use for names that each machine has. */
function nameForClients(names: readonly string[]): string {
  const isForOthers = (name: string) => !/^(localhost|127\..*|::1|\*\..*)$/.test(name)
  const name = names.find(isForOthers) ?? names[0] ?? 'localhost'
  return isIPv6(name) ? `[${name}]` : name.replace('*', 'edge')
}

function withPort(name: string, port: number, usual: number): string {
  return port === usual ? name : `${name}:${port}`
}

function put(path: string): string {
  return `install -D -m 644 ${file} ${path}`
}
