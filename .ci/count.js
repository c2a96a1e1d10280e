// Prints `N passed, N failed, N skipped` from vitest's JSON report; the exit code says whether that is good enough to land.
import { readFileSync } from 'node:fs'

const [, , report, status] = process.argv
const { passed, failed, skipped } = count(report)
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`)
process.exitCode = Number(status) || (failed + skipped > 0 || passed === 0 ? 1 : 0)

function count(file) {
  let told
  try {
    told = JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return { passed: 0, failed: 1, skipped: 0 }
  }
  // A file that fails before its tests are known counts as one.
  const broken = told.testResults.filter(
    ({ status, assertionResults }) =>
      status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
  )
  for (const { name, message } of broken) console.log(`broken: ${name}: ${message}`)
  const tests = told.testResults.flatMap(({ assertionResults }) => assertionResults)
  const unfinished = tests.filter(({ status }) => status !== 'passed' && status !== 'failed')
  for (const { fullName } of unfinished) console.log(`skipped: ${fullName}`)
  return {
    passed: tests.filter(({ status }) => status === 'passed').length,
    failed: tests.filter(({ status }) => status === 'failed').length + broken.length,
    skipped: unfinished.length,
  }
}
