const [quote, backslash, colon] = [0x22, 0x5c, 0x3a]

/**
 * The keys of the outermost object, each as often as it stands there, without reading the rest: `JSON.parse` takes seconds
 * for what is nested a million times.
 * @param json what may be an object
 * @throws SyntaxError for a key that is none, and when it is nested deeper than `maxDepth`
 */
export function* topKeysOf(json: string, maxDepth: number): Generator<string> {
  let depth = 0
  for (let at = 0; at < json.length; at++) {
    switch (json.charCodeAt(at)) {
      case 0x7b: // {
      case 0x5b: // [
        depth += 1
        if (depth > maxDepth) throw new SyntaxError(`nested deeper than ${maxDepth}`)
        break
      case 0x7d: // }
      case 0x5d: // ]
        depth -= 1
        break
      case quote: {
        const end = endOfString(json, at)
        if (depth === 1 && isKey(json, end)) yield JSON.parse(json.slice(at, end))
        at = end - 1
      }
    }
  }
}

/** @returns where it stands that follows the string which begins at `start` */
function endOfString(json: string, start: number): number {
  for (let end = json.indexOf('"', start + 1); end !== -1; end = json.indexOf('"', end + 1)) {
    let before = end - 1
    while (json.charCodeAt(before) === backslash) before -= 1
    if ((end - before) % 2 === 1) return end + 1
  }
  return json.length
}

function isKey(json: string, after: number): boolean {
  let at = after
  while (at < json.length && ' \t\r\n'.includes(json.charAt(at))) at += 1
  return json.charCodeAt(at) === colon
}
