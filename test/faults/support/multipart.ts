export interface MultipartPart {
  /** Its `Content-Range`. */
  range: string | undefined
  body: Buffer
}

/** RFC 9110 §14.6. @throws for what does not end as it must */
export function partsOfMultipart(type: string | undefined, body: Buffer): MultipartPart[] {
  const boundary = /^multipart\/byteranges; boundary="?([^"]+)"?$/.exec(type ?? '')?.[1]
  if (boundary === undefined) throw new Error(`${type} is not multipart/byteranges`)
  const parts: MultipartPart[] = []
  const opening = `--${boundary}\r\n`
  let at = body.indexOf(opening)
  while (at !== -1) {
    const bodyAt = body.indexOf('\r\n\r\n', at) + 4
    const range = /^content-range: (.+?)\r$/im.exec(body.toString('latin1', at, bodyAt))?.[1]
    const [, first, last] = /^bytes (\d+)-(\d+)\//.exec(range ?? '') ?? []
    const end = bodyAt + Number(last) - Number(first) + 1
    parts.push({ range, body: body.subarray(bodyAt, end) })
    at = body.toString('latin1', end, end + 2 + opening.length) === `\r\n${opening}` ? end + 2 : -1
    if (at === -1 && body.toString('latin1', end) !== `\r\n--${boundary}--\r\n`)
      throw new Error('a multipart body does not end with its boundary')
  }
  return parts
}
