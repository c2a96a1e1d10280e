import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'

const listener = `
  const [host, port] = process.argv.slice(1)
  require('node:net').createServer().listen({ host, port: Number(port), backlog: 1 }, () => console.log('listening'))
`

/** Nothing that is sent to this port is ever answered, not even the wish for a connection. */
export async function startBlackHole(host: string, port: number): Promise<AsyncDisposable> {
  const child = spawn(process.execPath, ['-e', listener, host, `${port}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  await once(createInterface({ input: child.stdout }), 'line')
  // Nobody accepts any more, and when the queue is full the kernel drops what comes.
  child.kill('SIGSTOP')
  const waiting: Socket[] = []
  for (let isFull = false; !isFull && waiting.length < 16; ) isFull = await isDropped(host, port, waiting)
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of waiting) socket.destroy()
      child.kill('SIGKILL')
      await exited
    },
  }
}

async function isDropped(host: string, port: number, waiting: Socket[]): Promise<boolean> {
  const socket = connect({ host, port })
  socket.on('error', () => {})
  waiting.push(socket)
  return Promise.race([
    once(socket, 'connect').then(() => false),
    // A connection over loopback is there at once, or not at all.
    new Promise<boolean>((resolve) => setTimeout(resolve, 300, true)),
  ])
}
