/**
 * The keys of the outermost object, each as often as it stands there.
 * @param json an object that `JSON.parse` has taken
 */
export function* topKeysOf(json: string): Generator<string> {
  const marks = /["{}[\]]/g
  let depth = 0
  for (let mark = marks.exec(json); mark; mark = marks.exec(json)) {
    if (mark[0] === '{' || mark[0] === '[') depth += 1
    else if (mark[0] === '}' || mark[0] === ']') depth -= 1
    else {
      const end = endOfString(json, mark.index)
      marks.lastIndex = end
      if (depth === 1 && isKey(json, end)) yield JSON.parse(json.slice(mark.index, end))
    }
  }
}

/** @returns where it stands that follows the string which begins at `start` */
function endOfString(json: string, start: number): number {
  for (let end = json.indexOf('"', start + 1); ; end = json.indexOf('"', end + 1)) {
    let before = end - 1
    while (json[before] === '\\') before -= 1
    if ((end - before) % 2 === 1) return end + 1
  }
}

function isKey(json: string, after: number): boolean {
  let at = after
  while (' \t\r\n'.includes(json[at] ?? '')) at += 1
  return json[at] === ':'
}
