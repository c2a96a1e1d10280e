import type { Config } from './config.ts'

/** What each setting allows, and all of them together make no sense. One sentence each. */
export function doubtsOf({ publicUrl, data, policies }: Config): string[] {
  const doubts: string[] = []
  if (publicUrl !== undefined && isLoopback(new URL(publicUrl).hostname))
    doubts.push(`OUTPORT_PUBLIC_URL: ${publicUrl} leads every client to its own machine`)
  if (data === policies || data.startsWith(`${policies}/`))
    doubts.push(`OUTPORT_DATA: ${data} is in the folder of the policies`)
  return doubts
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || /^127\./.test(host) || host === '::1' || host === '[::1]'
}
