import { Counter, Histogram, type Registry } from 'prom-client'

/** What clients ask for, and what they get. */
export function createRequestMetrics(registry: Registry) {
  const registers = [registry]
  return {
    requests: new Counter({
      name: 'outport_requests_total',
      help: 'Answers by what was asked for and status.',
      labelNames: ['kind', 'method', 'status'] as const,
      registers,
    }),
    responseBytes: new Counter({
      name: 'outport_response_bytes_total',
      help: 'Bytes handed to clients, heads included.',
      labelNames: ['kind'] as const,
      registers,
    }),
    answers: new Counter({
      name: 'outport_answers_total',
      help: 'Manifests and blobs by where they came from (X-Outport-Cache).',
      labelNames: ['kind', 'cache'] as const,
      registers,
    }),
    requestSeconds: new Histogram({
      name: 'outport_request_seconds',
      help: 'Time from a request to the last byte of its answer.',
      labelNames: ['kind'] as const,
      buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30],
      registers,
    }),
    slowRequests: new Counter({
      name: 'outport_slow_requests_total',
      help: 'Answers whose first byte took longer than the setting for that.',
      labelNames: ['kind'] as const,
      registers,
    }),
    commands: new Counter({
      name: 'outport_admin_commands_total',
      help: 'Commands that were asked for at the socket in the data directory.',
      labelNames: ['command'] as const,
      registers,
    }),
  }
}
