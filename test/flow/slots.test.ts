import { describe, expect, test } from 'vitest'
import { createSlots } from '../../src/flow/slots.ts'

const never = new AbortController().signal

describe('slots', () => {
  test('are given in order, as many at once as there are', async () => {
    const slots = createSlots(2)
    const entered: string[] = []
    const enter = (name: string) =>
      slots.acquire(never).then((release) => ({ name, release, at: entered.push(name) }))

    const [first, second] = await Promise.all([enter('first'), enter('second')])
    const third = enter('third')
    const fourth = enter('fourth')
    second.release()
    await third
    expect(entered).toEqual(['first', 'second', 'third'])
    first.release()
    await fourth
    expect(entered).toEqual(['first', 'second', 'third', 'fourth'])
  })

  test('are given back once only', async () => {
    const slots = createSlots(1)
    const release = await slots.acquire(never)
    release()
    release()

    await slots.acquire(never)
    const caller = new AbortController()
    const waiting = slots.acquire(caller.signal)
    caller.abort(new Error('gone'))
    await expect(waiting).rejects.toThrow('gone')
  })

  test('are not lost to those who leave the line', async () => {
    const slots = createSlots(1)
    const release = await slots.acquire(never)
    const caller = new AbortController()
    const left = slots.acquire(caller.signal)
    const next = slots.acquire(never)
    caller.abort(new Error('gone'))
    await expect(left).rejects.toThrow('gone')

    release()

    expect(await next).toBeTypeOf('function')
    await expect(slots.acquire(AbortSignal.abort(new Error('too late')))).rejects.toThrow('too late')
  })
})
