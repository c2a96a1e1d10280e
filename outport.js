#!/usr/bin/env node
// Plain JavaScript without new syntax, so that an old Node can say in one line that it is too old.
const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  console.error(
    `outport: needs Node 24 or newer, this is ${process.versions.node} (npm start and bin/outport bring their own)`,
  )
  process.exit(1)
}
// Files and names share libuv's threads, and names get half of them: with the usual 4, two names that nobody answers for
// hold up all others. Read when the first of them is needed, which nothing above has done.
process.env.UV_THREADPOOL_SIZE ??= '16'
const { setFlagsFromString } = await import('node:v8')
// A socket's chunks are small objects that hold much memory elsewhere. While the young generation stays small they go with
// its quick collections; else the whole heap is searched for them dozens of times for each gigabyte.
setFlagsFromString('--semi-space-growth-factor=1')
// One that small is through before other threads have woken up to help.
setFlagsFromString('--no-parallel-scavenge')
const { enableCompileCache } = await import('node:module')
const { existsSync } = await import('node:fs')
const { fileURLToPath } = await import('node:url')
// Beside the program and not in a temporary folder, where others could put code. Worker threads find it by the variable.
process.env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL('./node_modules/.cache/outport', import.meta.url))
enableCompileCache(process.env.NODE_COMPILE_CACHE)
// The packed program has no sources, and a clone in which it was packed has both.
await import(existsSync(new URL('./src', import.meta.url)) ? './src/cli.ts' : './dist/cli.js')
