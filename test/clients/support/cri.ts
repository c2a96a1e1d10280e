import { once } from 'node:events'
import { connect as connectHttp2, constants } from 'node:http2'
import { connect } from 'node:net'

/** Asks a container runtime for an image as a kubelet does (CRI v1, PullImage). @returns the runtime's id of the image. */
export async function pullByKubelet(socket: string, image: string): Promise<string> {
  const answer = await call(
    socket,
    '/runtime.v1.ImageService/PullImage',
    field(1, field(1, Buffer.from(image))),
  )
  return answer.subarray(2).toString()
}

/** @throws as long as the runtime does not serve kubelets yet: its socket is there before that. */
export async function expectReadyForKubelet(socket: string): Promise<void> {
  await call(socket, '/runtime.v1.RuntimeService/Version', Buffer.alloc(0))
}

/** One unary gRPC call: a protobuf message with a five-byte head each way, the status in the trailers. */
async function call(socket: string, path: string, message: Buffer): Promise<Buffer> {
  const connection = connect(socket)
  await once(connection, 'connect')
  const session = connectHttp2('http://localhost', { createConnection: () => connection })
  try {
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: path,
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    const chunks: Buffer[] = []
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    let status: Record<string, unknown> = {}
    stream.on('response', (headers) => Object.assign(status, headers))
    stream.on('trailers', (trailers) => {
      status = { ...status, ...trailers }
    })
    const head = Buffer.alloc(5)
    head.writeUInt32BE(message.length, 1)
    stream.end(Buffer.concat([head, message]))
    await once(stream, 'close')
    if (status['grpc-status'] !== '0') {
      throw new Error(
        `${path}: ${status['grpc-status']} ${decodeURIComponent(String(status['grpc-message']))}`,
      )
    }
    return Buffer.concat(chunks).subarray(5)
  } finally {
    session.close()
  }
}

/** A length-delimited protobuf field of less than 128 bytes. */
function field(number: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([(number << 3) | 2, content.length]), content])
}
