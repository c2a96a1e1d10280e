/** Work that nobody waits for: in order, a few at a time in each lane. */
export interface Lanes<Task> {
  /** What is there already under `key` is not done twice. @returns `false` when too many wait in the lane */
  add(lane: string, key: string, task: Task): boolean
  /** Takes out what has not begun. @returns what that was */
  remove(lane: string, which: (task: Task) => boolean): Task[]
}

export interface LanesOptions<Task> {
  /** How many are under way at a time in a lane. */
  width: number
  /** How many may wait in one. */
  depth: number
  /** Never rejects. */
  run(task: Task): Promise<void>
}

interface Lane<Task> {
  waiting: Map<string, Task>
  running: Set<string>
}

export function createLanes<Task>({ width, depth, run }: LanesOptions<Task>): Lanes<Task> {
  const lanes = new Map<string, Lane<Task>>()

  function proceed(name: string, lane: Lane<Task>): void {
    for (const [key, task] of lane.waiting) {
      if (lane.running.size >= width) return
      lane.waiting.delete(key)
      lane.running.add(key)
      run(task).finally(() => {
        lane.running.delete(key)
        proceed(name, lane)
      })
    }
    if (lane.running.size === 0) lanes.delete(name)
  }

  return {
    add(name, key, task) {
      const lane = lanes.get(name) ?? { waiting: new Map(), running: new Set() }
      if (lane.waiting.has(key) || lane.running.has(key)) return true
      if (lane.waiting.size >= depth) return false
      lanes.set(name, lane)
      lane.waiting.set(key, task)
      proceed(name, lane)
      return true
    },
    remove(name, which) {
      const waiting = lanes.get(name)?.waiting ?? new Map<string, Task>()
      const removed = [...waiting].filter(([, task]) => which(task))
      for (const [key] of removed) waiting.delete(key)
      return removed.map(([, task]) => task)
    },
  }
}
