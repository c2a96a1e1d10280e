import { parentPort } from 'node:worker_threads'
import { compareSync } from 'bcryptjs'

const port = parentPort
port?.on('message', ({ id, password, verifier }: { id: number; password: string; verifier: string }) => {
  port.postMessage({ id, matches: compareSync(password, verifier) })
})
