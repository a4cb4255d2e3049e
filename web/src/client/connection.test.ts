import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createClient } from './client';
import { fullJitter, mayReconnect, retryCapMs } from './retry';
import { FakeServer, refusal } from './testing/server';
import type { ClientOptions } from './types';

let server: FakeServer;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function make(options: Partial<ClientOptions> = {}) {
  return createClient({ url: 'ws://host/ws', token: 't', WebSocket: server.WebSocket, retry: () => 1_000, ...options });
}
const tick = (ms = 0) => vi.advanceTimersByTimeAsync(ms);

describe('authentication', () => {
  it('says auth first, with the token in no URL', async () => {
    const client = make({ name: 'test/1' });
    await client.connect();
    expect(server.socket.url).toBe('ws://host/ws');
    expect(server.socket.messages[0]).toMatchObject({ type: 'auth', data: { token: 't', client: 'test/1' } });
    expect(client.state.value).toBe('online');
    expect(client.user.value).toEqual({ id: 'ada', name: 'Ada' });
  });

  it('asks once for another token when the first is refused, then gives up', async () => {
    server.answers.set('auth', refusal('unauthorized'));
    const token = vi.fn(({ reason }: { reason: string }) => reason);
    const client = make({ token });
    const connected = client.connect().catch((e: unknown) => e);
    await tick();
    server.socket.end(1008);
    await tick(1_000);
    expect(server.sockets).toHaveLength(2);
    expect(server.socket.messages[0]).toMatchObject({ data: { token: 'unauthorized' } });
    server.socket.end(1008);
    await tick(60_000);
    expect(server.sockets).toHaveLength(2);
    expect(client.state.value).toBe('closed');
    expect(await connected).toMatchObject({ code: 'unauthorized', retryable: false });
  });

  it('refreshes on the live connection before the token expires', async () => {
    const token = vi.fn(({ reason }: { reason: string }) => `token-${reason}`);
    server.connected = { expiresAt: Date.now() + 3_600_000 };
    const client = make({ token });
    await client.connect();
    await tick(3_600_000 - 61_000);
    expect(server.sent('refresh')).toHaveLength(0);
    await tick(2_000);
    expect(server.sent('refresh')).toMatchObject([{ data: { token: 'token-refresh' } }]);
    expect(server.sockets).toHaveLength(1);
  });

  it('asks for a new token after 4001', async () => {
    const token = vi.fn(({ reason }: { reason: string }) => reason);
    await make({ token }).connect();
    server.socket.end(4001);
    await tick(1_000);
    expect(server.socket.messages[0]).toMatchObject({ data: { token: 'expired', ticket: 'ticket-1' } });
  });
});

describe('the end of a connection', () => {
  const cases: [code: number, again: boolean, error: string][] = [
    [1001, true, 'network'], [1006, true, 'network'], [1011, true, 'network'], [1012, true, 'network'], [1013, true, 'network'],
    [4000, true, 'network'], [4008, true, 'network'], [4009, true, 'network'], [4499, true, 'network'],
    [1002, false, 'protocol'], [1003, false, 'protocol'], [1007, false, 'protocol'], [1008, false, 'unauthorized'],
    [1009, false, 'too-large'], [4010, false, 'replaced'], [4500, false, 'kicked'], [4501, false, 'banned'],
    [4502, false, 'ended'], [4503, false, 'rate-limited'], [4999, false, 'protocol'],
  ];
  it.each(cases)('%i: again %s, error %s', async (code, again, error) => {
    expect(mayReconnect(code)).toBe(again);
    const client = make();
    await client.connect();
    server.socket.end(code, 'why');
    expect(client.error.value?.code).toBe(error);
    expect(client.detail.value).toMatchObject({ code, reason: 'why', state: again ? 'recovering' : 'closed' });
    await tick(1_000);
    expect(server.sockets).toHaveLength(again ? 2 : 1);
    expect(client.state.value).toBe(again ? 'online' : 'closed');
    if (again) expect(server.socket.messages[0]).toMatchObject({ data: { ticket: 'ticket-1' } });
  });

  it('waits as long as system-status asks', async () => {
    await make().connect();
    server.socket.say({ type: 'system-status', data: { status: 'draining', message: 'restart', reconnectAfterMs: 7_000 } });
    server.socket.end(1012);
    await tick(6_900);
    expect(server.sockets).toHaveLength(1);
    await tick(200);
    expect(server.sockets).toHaveLength(2);
  });

  it('never gives up by itself, and tries at once when asked', async () => {
    const client = make({ retry: undefined });
    await client.connect();
    server.accepting = false;
    server.socket.end(1006);
    for (let i = 0; i < 60; i++) {
      await tick(30_000);
      expect(client.state.value).toBe('recovering');
    }
    server.accepting = true;
    await tick(60_000);
    expect(client.state.value).toBe('online');
    server.socket.end(1006);
    const before = server.sockets.length;
    client.retryNow();
    await tick();
    expect(server.sockets).toHaveLength(before + 1);
  });

  it('is told by a policy that gives up', async () => {
    server.accepting = false;
    const client = make({ retry: ({ attempt }) => (attempt > 2 ? null : 10) });
    const failed = client.connect().catch((e: unknown) => e);
    await tick(60_000);
    expect(client.state.value).toBe('closed');
    expect(await failed).toMatchObject({ code: 'network' });
    expect(server.sockets).toHaveLength(3);
  });

  it('rejects what waits for an answer', async () => {
    const client = make();
    await client.connect();
    server.silent.add('moderate');
    const answer = client.request('moderate', {}).catch((e: unknown) => e);
    server.socket.end(1006);
    expect(await answer).toMatchObject({ code: 'network', retryable: true });
  });

  it('says 1000 when closed, and can be opened again', async () => {
    const client = make();
    await client.connect();
    client.close();
    expect(server.socket.closedWith).toBe(1000);
    expect(client.state.value).toBe('closed');
    await client.connect();
    expect(client.state.value).toBe('online');
  });
});

describe('full jitter', () => {
  it.each([[1, 500], [2, 1_000], [4, 4_000], [7, retryCapMs], [1_000, retryCapMs]])('attempt %i: below %i ms', (attempt, bound) => {
    expect(fullJitter({ attempt }, () => 0)).toBe(0);
    expect(fullJitter({ attempt }, () => 0.999_999)).toBeLessThan(bound);
    expect(fullJitter({ attempt }, () => 0.999_999)).toBeGreaterThan(bound * 0.99);
  });
});

describe('a half-open network', () => {
  it('is noticed within 11 s while a room is used', async () => {
    const client = make();
    await client.join('daily', { call: false });
    server.socket.deaf = true;
    const since = Date.now();
    await vi.waitUntil(async () => { await tick(250); return client.state.value !== 'online'; }, { timeout: 60_000, interval: 1 });
    expect(Date.now() - since).toBeLessThanOrEqual(11_500);
    expect(client.detail.value).toMatchObject({ code: 1006, reason: 'no answer' });
  });

  it('is noticed sooner when a request stays unanswered', async () => {
    const client = make();
    await client.connect();
    server.socket.deaf = true;
    const answer = client.request('moderate', {}).catch((e: unknown) => e);
    await tick(7_100);
    expect(await answer).toMatchObject({ code: 'network' });
  });

  it('is probed when the page is woken', async () => {
    const page = new EventTarget();
    vi.stubGlobal('window', page);
    const client = make();
    await client.connect();
    server.socket.deaf = true;
    page.dispatchEvent(new Event('online'));
    await tick(4_100);
    expect(client.state.value).toBe('recovering');
    page.dispatchEvent(new Event('online'));
    await tick();
    expect(server.sockets).toHaveLength(2);
    client.close();
  });

  it('does not make a slow but living link fail', async () => {
    const client = make();
    await client.join('daily', { call: false });
    for (let i = 0; i < 100; i++) await tick(5_000);
    expect(server.sockets).toHaveLength(1);
  });

  it('pings every heartbeat when idle, and only then', async () => {
    server.connected = { heartbeatMs: 10_000 };
    await make().connect();
    await tick(35_000);
    expect(server.sent('ping')).toHaveLength(3);
  });
});

describe('frames', () => {
  it('puts the messages of one moment into one frame, within the limit', async () => {
    server.connected = { limits: { messageBytes: 300, ratePerSecond: 50, history: 256 } };
    const client = make();
    await client.connect();
    const before = server.socket.frames.length;
    for (let i = 0; i < 10; i++) client.send('typing', { typing: true }, { room: 'daily' });
    await tick();
    const frames = server.socket.frames.slice(before);
    expect(frames.length).toBeGreaterThan(1);
    expect(frames.length).toBeLessThan(5);
    for (const frame of frames) expect(frame.length).toBeLessThanOrEqual(300);
    expect(frames.join('\n').split('\n')).toHaveLength(10);
    await expect(client.request('chat', { text: 'x'.repeat(300) })).rejects.toMatchObject({ code: 'too-large' });
  });

  it('reads several lines, and survives what it cannot read', async () => {
    const client = make();
    await client.connect();
    const seen: string[] = [];
    client.on('message', (m) => seen.push(m.type));
    server.socket.onmessage?.({ data: '{"type":"a"}\n\nnonsense\n7\n{"type":"b"}' } as MessageEvent);
    expect(seen).toEqual(['a', 'b']);
  });
});

describe('requests', () => {
  it('take ack or the typed answer, never an echo with the same id', async () => {
    const client = make();
    await client.connect();
    server.answers.set('chat', (m) => [{ ...m, seq: 7, author: { user: 'ada', name: 'Ada', kind: 'human' } }, { type: 'ack', id: m.id, data: { seq: 7 } }]);
    await expect(client.request('chat', { text: 'a' })).resolves.toMatchObject({ type: 'ack', data: { seq: 7 } });
  });

  it('time out, and can be cancelled', async () => {
    const client = make();
    await client.connect();
    server.silent.add('moderate');
    const slow = client.request('moderate', {}, { timeoutMs: 2_000 }).catch((e: unknown) => e);
    const gate = new AbortController();
    const cancelled = client.request('moderate', {}, { signal: gate.signal }).catch((e: unknown) => e);
    gate.abort();
    expect(await cancelled).toMatchObject({ code: 'cancelled' });
    await tick(2_000);
    expect(await slow).toMatchObject({ code: 'timeout' });
  });

  it('ready() has a limit of its own', async () => {
    server.accepting = false;
    const client = make();
    client.connect().catch(() => undefined);
    const late = client.ready({ timeoutMs: 50 }).catch((e: unknown) => e);
    await tick(50);
    expect(await late).toMatchObject({ code: 'timeout' });
  });
});
