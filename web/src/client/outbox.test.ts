import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createClient } from './client';
import { webStorage } from './outbox';
import { chat, FakeServer, refusal } from './testing/server';
import type { Client, OutboxOptions, Room } from './types';
import type { Envelope } from './wire';

let server: FakeServer;
let seq = 0;
/** Stores, then acknowledges and echoes as a real server does. */
const stored = (message: Envelope): Envelope[] => {
  const { text } = message.data as { text: string };
  seq++;
  return [{ type: 'ack', id: message.id, data: { seq } }, chat(seq, seq - 1, 'ada', text, { id: message.id, data: message.data as object })];
};

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
  seq = 0;
  server.answers.set('chat', stored);
});
afterEach(() => { vi.useRealTimers(); });

const tick = (ms = 0) => vi.advanceTimersByTimeAsync(ms);
async function open(outbox?: OutboxOptions): Promise<{ client: Client; room: Room }> {
  const client = createClient({ url: 'ws://h/ws', token: 't', WebSocket: server.WebSocket, retry: () => 1_000, outbox });
  return { client, room: await client.join('daily', { call: false }) };
}
const show = (room: Room) => room.chat.log.value.map((m) => `${m.text}:${m.status}`);
const texts = () => server.sent('chat').map((m) => (m.data as { text: string }).text);

describe('a message', () => {
  it('is shown at once and merges with its echo under the same key', async () => {
    const { room } = await open();
    const out = room.chat.send('hello', { replyTo: 3, mentions: ['bob'] });
    expect(room.chat.log.value).toMatchObject([{ key: out.id, seq: 0, status: 'sending', replyTo: 3, mentions: ['bob'], isOwn: true }]);
    await tick();
    expect(room.chat.log.value).toMatchObject([{ key: out.id, seq: 1, status: 'sent', replyTo: 3, mentions: ['bob'], outgoing: null }]);
    expect(await out.done()).toBe(1);
    expect(server.sent('chat')).toMatchObject([{ id: out.id, room: 'daily', data: { text: 'hello', replyTo: 3, mentions: ['bob'] } }]);
  });

  it('is not doubled when the echo comes before the answer', async () => {
    server.answers.set('chat', (m) => stored(m).reverse());
    const { room } = await open();
    room.chat.send('a');
    room.chat.send('b');
    await tick();
    expect(show(room)).toEqual(['a:sent', 'b:sent']);
  });

  it('waits while there is no connection, in order, each with one id', async () => {
    const { room, client } = await open();
    server.socket.end(1006);
    for (const text of ['a', 'b', 'c']) room.chat.send(text);
    expect(show(room)).toEqual(['a:queued', 'b:queued', 'c:queued']);
    expect(client.outbox.value).toHaveLength(3);
    await tick(1_000);
    expect(texts()).toEqual(['a', 'b', 'c']);
    expect(show(room)).toEqual(['a:sent', 'b:sent', 'c:sent']);
    expect(client.outbox.value).toHaveLength(0);
  });

  it('that was stored but not acknowledged is sent again with the same id, and appears once', async () => {
    const { room } = await open();
    server.silent.add('chat');
    const out = room.chat.send('a');
    await tick();
    server.socket.end(1006);
    // It was stored: the window that we get has it.
    server.silent.delete('chat');
    server.joined = { recovered: true, seq: 5, history: [chat(5, 0, 'ada', 'a', { id: out.id })] };
    await tick(1_000);
    expect(show(room)).toEqual(['a:sent']);
    expect(room.chat.log.value[0]).toMatchObject({ key: out.id, seq: 5 });
    expect(server.sent('chat')).toHaveLength(1);
  });

  it('that is older than the window is settled by the duplicate answer', async () => {
    const { room } = await open();
    server.silent.add('chat');
    const out = room.chat.send('a');
    await tick();
    server.socket.end(1006);
    server.silent.delete('chat');
    server.joined = { recovered: true, seq: 900, history: [] };
    server.answers.set('chat', (m) => [{ type: 'ack', id: m.id, data: { seq: 5, duplicate: true } }]);
    await tick(1_000);
    expect(await out.done()).toBe(5);
    expect(server.sent('chat').map((m) => m.id)).toEqual([out.id, out.id]);
    expect(room.chat.log.value).toHaveLength(0);
  });

  it.each([
    ['unavailable', undefined], ['rate-limited', 3_000], ['timeout', undefined],
  ])('is repeated after %s, before the next one', async (code, after) => {
    const { room } = await open();
    server.answers.set('chat', refusal(code, true, after));
    const out = room.chat.send('a');
    room.chat.send('b');
    await tick();
    expect(texts()).toEqual(['a']);
    server.answers.set('chat', stored);
    if (after) {
      await tick(after - 100);
      expect(texts()).toEqual(['a']);
    }
    await tick(5_000);
    expect(texts()).toEqual(['a', 'a', 'b']);
    expect(server.sent('chat')[1]?.id).toBe(out.id);
    expect(show(room)).toEqual(['a:sent', 'b:sent']);
  });

  it('fails for good on other errors, lets the next one pass, and can be retried or cancelled', async () => {
    const { room } = await open();
    server.answers.set('chat', (m) => ((m.data as { text: string }).text === 'b' ? stored(m) : refusal('forbidden')(m)));
    const a = room.chat.send('a');
    room.chat.send('b');
    await tick();
    expect(show(room)).toEqual(['b:sent', 'a:failed']);
    await expect(a.done()).rejects.toMatchObject({ code: 'forbidden' });
    server.answers.set('chat', stored);
    a.retry();
    await tick();
    expect(show(room)).toEqual(['b:sent', 'a:sent']);
    server.answers.set('chat', refusal('forbidden'));
    const c = room.chat.send('c');
    await tick();
    c.cancel();
    await tick();
    expect(show(room)).toEqual(['b:sent', 'a:sent']);
  });

  it('that is empty or too large is refused here', async () => {
    const { room } = await open();
    expect(room.chat.send(' ').error.value?.code).toBe('bad-message');
    expect(room.chat.send('é'.repeat(9_000)).error.value?.code).toBe('too-large');
    expect(show(room)).toEqual([]);
  });
});

describe('the bounds', () => {
  it('refuses more than it may keep, in count and in bytes', async () => {
    const { room } = await open({ maxCount: 2, maxBytes: 10 });
    server.silent.add('chat');
    expect(room.chat.send('a').error.value).toBeNull();
    expect(room.chat.send('0123456789').error.value?.code).toBe('too-large');
    expect(room.chat.send('b').error.value).toBeNull();
    expect(room.chat.send('c').error.value?.code).toBe('too-large');
  });

  it('lets what waited too long fail', async () => {
    const { room } = await open({ maxAgeMs: 10_000 });
    server.accepting = false;
    server.socket.end(1006);
    const out = room.chat.send('a');
    await tick(12_000);
    server.accepting = true;
    await tick(30_000);
    expect(out.error.value?.code).toBe('timeout');
    expect(texts()).toEqual([]);
  });
});

describe('the store', () => {
  function storage(): Storage {
    const map = new Map<string, string>();
    return { getItem: (k: string) => map.get(k) ?? null, setItem: (k: string, v: string) => void map.set(k, v) } as unknown as Storage;
  }

  it('carries unsent messages over a reload, replyTo and all', async () => {
    const store = webStorage(storage());
    const first = await open({ store });
    server.socket.deaf = true;
    const out = first.room.chat.send('a', { replyTo: 4 });
    first.client.close();
    await tick(1_000);
    const second = await open({ store });
    await tick();
    expect(server.sent('chat').at(-1)).toMatchObject({ id: out.id, data: { text: 'a', replyTo: 4 } });
    expect(show(second.room)).toEqual(['a:sent']);
    expect(store.load()).toBe('[]');
  });

  it('does not send what another person wrote', async () => {
    const store = webStorage(storage());
    const first = await open({ store });
    server.socket.deaf = true;
    first.room.chat.send('secret');
    first.client.close();
    server.user = { id: 'bob', name: 'Bob' };
    const before = server.sent('chat').length;
    const second = await open({ store });
    await tick();
    expect(show(second.room)).toEqual([]);
    expect(server.sent('chat')).toHaveLength(before);
  });

  it.each(['', 'null', '{', '[1,null,{"id":3}]'])('survives what it cannot read: %s', async (text) => {
    const { client } = await open({ store: { load: () => text, save: () => { throw new Error('full'); } } });
    expect(client.outbox.value).toEqual([]);
  });
});
