import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ClientError } from '../errors';
import { SignalQueue } from './signals';

interface Sent { to: string; n: number; resolve(): void; reject(e: Error): void }
let sent: Sent[];
let queue: SignalQueue;
const log = () => sent.map((s) => s.n);
const settle = () => vi.advanceTimersByTimeAsync(0);

beforeEach(() => {
  vi.useFakeTimers();
  sent = [];
  queue = new SignalQueue((to, signal) => new Promise<void>((resolve, reject) => {
    sent.push({ to, n: signal.generation ?? 0, resolve, reject });
  }));
});
afterEach(() => { vi.useRealTimers(); });

const push = (...ns: number[]) => { for (const n of ns) queue.push(n < 100 ? 'a' : 'b', { generation: n }); };

it('waits for the room, then sends in order and no more than a window', () => {
  push(1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
  expect(log()).toEqual([]);
  queue.resume();
  expect(log()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});

it('goes on as the first are acknowledged', async () => {
  queue.resume();
  push(1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
  sent[1]?.resolve();
  await settle();
  expect(sent).toHaveLength(8);
  sent[0]?.resolve();
  await settle();
  expect(log().slice(8)).toEqual([9, 10]);
});

it('repeats all from the first that was not acknowledged when the connection is back', async () => {
  queue.resume();
  push(1, 2, 3);
  sent[0]?.resolve();
  await settle();
  queue.pause();
  for (const s of sent.slice(1)) s.reject(new ClientError('network'));
  await settle();
  push(4);
  queue.resume();
  expect(log()).toEqual([1, 2, 3, 2, 3, 4]);
  // A late answer of before counts no more.
  sent[1]?.resolve();
  await settle();
  queue.resume();
  expect(log().slice(6)).toEqual([2, 3, 4]);
});

it('over the rate limit it waits and keeps the order', async () => {
  queue.resume();
  push(1, 2);
  sent[0]?.reject(new ClientError('rate-limited', '', { retryAfterMs: 500 }));
  sent[1]?.resolve();
  await vi.advanceTimersByTimeAsync(499);
  expect(log()).toEqual([1, 2]);
  await vi.advanceTimersByTimeAsync(1);
  expect(log()).toEqual([1, 2, 1, 2]);
});

it('drops what nobody can take any more', async () => {
  queue.resume();
  push(1, 101);
  sent[0]?.reject(new ClientError('not-found'));
  await settle();
  push(2, 102);
  queue.pause();
  queue.forget('a');
  queue.resume();
  expect(sent.slice(4).map((s) => s.n)).toEqual([101, 102]);
});
