/** image-spec, "Image Index": what an image runs on, as far as this program tells images apart by it. */
export interface Platform {
  os: string
  architecture: string
  variant?: string
}

export const aPlatform = 'a platform such as linux/amd64 or linux/arm/v7'

const part = '[a-z0-9_.-]+'
export const platformPattern = `^${part}/${part}(/${part})?$`
const grammar = new RegExp(platformPattern)

/** @throws SyntaxError */
export function parsePlatform(text: string): Platform {
  if (!grammar.test(text)) throw new SyntaxError(aPlatform)
  const [os = '', architecture = '', variant] = text.split('/')
  return { os, architecture, ...(variant !== undefined && { variant }) }
}

/** As {@link parsePlatform} reads it. */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/')
}

/** Where `wanted` names no variant, any is right. */
export function isForPlatform(image: Platform, wanted: Platform): boolean {
  if (image.os !== wanted.os || image.architecture !== wanted.architecture) return false
  return wanted.variant === undefined || variantOf(image) === wanted.variant
}

/** Indexes leave out what goes without saying; containerd reads them so. */
function variantOf({ architecture, variant }: Platform): string | undefined {
  const usual: Readonly<Record<string, string>> = { arm64: 'v8', arm: 'v7', amd64: 'v1' }
  return variant ?? usual[architecture]
}
