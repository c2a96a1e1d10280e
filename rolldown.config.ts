import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { defineConfig, type Plugin } from 'rolldown'

/**
 * The program as it is packed: a few files of JavaScript with the libraries in them, of which nothing is loaded that is
 * not used. They start sooner and hold less memory than several hundred.
 */
export default defineConfig({
  // A thread is started by its file.
  input: {
    cli: 'src/cli.ts',
    'sqlite-worker': 'src/metadata/sqlite-worker.ts',
    'bcrypt-worker': 'src/auth/bcrypt-worker.ts',
  },
  platform: 'node',
  // It finds its binary beside itself.
  external: [/^better-sqlite3/],
  plugins: [notices()],
  output: {
    dir: 'dist',
    cleanDir: true,
    format: 'esm',
    minify: { compress: true, mangle: false },
    comments: false,
  },
})

/** The licences of what is in there stand beside it. */
function notices(): Plugin {
  return {
    name: 'notices',
    async generateBundle(_options, bundle) {
      const modules = Object.values(bundle).flatMap((chunk) => ('moduleIds' in chunk ? chunk.moduleIds : []))
      const folders = new Set(modules.flatMap((path) => packageFolderOf(path) ?? []))
      const texts = await Promise.all([...folders].sort().map(noticeOf))
      this.emitFile({ type: 'asset', fileName: 'THIRD-PARTY-NOTICES', source: texts.join('\n') })
    },
  }
}

/** The innermost package that `path` belongs to; `undefined` for our own files. */
function packageFolderOf(path: string): string | undefined {
  const parts = path.split(sep)
  const modules = parts.lastIndexOf('node_modules')
  if (modules === -1) return undefined
  const length = parts[modules + 1]?.startsWith('@') ? 3 : 2
  const folder = parts.slice(0, modules + length).join(sep)
  return existsSync(join(folder, 'package.json')) ? folder : undefined
}

/** @throws where a package does not say under which terms it may be passed on */
async function noticeOf(folder: string): Promise<string> {
  const { name, version, license } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
  const files = (await readdir(folder)).filter((file) => /^licen[cs]e/i.test(file))
  if (typeof license !== 'string') throw new Error(`${name} has no licence`)
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')))
  return [`# ${name} ${version} (${license})`, ...texts].join('\n\n')
}
