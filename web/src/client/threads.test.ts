import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createClient } from './client';
import { webStorage } from './outbox';
import { chat, FakeServer, participant, refusal } from './testing/server';
import type { Client, OutboxStore, Room, Thread } from './types';
import type { Envelope, ThreadHistory, ThreadSummary } from './wire';

let server: FakeServer;
let client: Client;
/** What each thread holds on the server: the records of its window. */
let logs: Record<string, Envelope[]>;
let store: OutboxStore & { kept: string | null };

// It is loaded when the first thread shows up; how long that takes is not what is tested.
beforeAll(async () => { await import('./extras'); });
beforeEach(() => {
  vi.useFakeTimers();
  logs = {};
  store = { kept: null, load: () => store.kept, save: (value) => { store.kept = value; } };
  start();
});
afterEach(() => { vi.useRealTimers(); });

function start(): void {
  server = new FakeServer();
  server.answers.set('subscribe-thread', (m) => [history(m)]);
  client = createClient({ url: 'ws://h/ws', token: 't', WebSocket: server.WebSocket, retry: () => 1_000, outbox: { store } });
}

const tick = (ms = 0) => vi.advanceTimersByTimeAsync(ms);
const join = async (threads: ThreadSummary[] = []): Promise<Room> => {
  server.joined = { threads, participants: [participant('p-ada', 'ada'), participant('p-bob', 'bob')] };
  return client.join('daily', { call: false });
};
const summary = (thread: string, messages: number, seq: number, more: Partial<ThreadSummary> = {}): ThreadSummary =>
  ({ thread, messages, last: { seq, ts: seq, user: 'bob' }, ...more });
const told = (...threads: ThreadSummary[]) => server.socket.say({ type: 'room', room: 'daily', data: { threads } });
const inThread = (thread: string, seq: number, prev: number, user: string, text: string, more: Partial<Envelope> = {}) =>
  chat(seq, prev, user, text, { thread, ...more });
const show = (t: Thread) => t.chat.log.value.map((m) => m.text);
const list = (room: Room) => room.threads.value.map((t) => `${t.thread} ${t.messages}/${t.unread ?? 0}`);

/** The first frame of a thread: after the cursor if it is known, else the window. */
function history(m: Envelope, more: Partial<ThreadHistory> = {}): Envelope {
  const { since, private: bot } = m.data as { since?: { seq: number; epoch: string }; private?: string };
  const thread = bot ? 'dm-1' : m.thread ?? '';
  const log = logs[thread] ?? [];
  const recovered = since?.epoch === 'e1';
  const data: ThreadHistory = {
    messages: recovered ? log.filter((r) => (r.seq ?? 0) > since.seq) : log, recovered, more: false, runs: [], epoch: 'e1', ...more,
  };
  return { type: 'thread-history', id: m.id, room: m.room, thread, seq: log.at(-1)?.seq, data };
}

describe('the list', () => {
  it('is what joined says, newest first, and follows what the room tells', async () => {
    const room = await join([summary('m1', 2, 5, { unread: 1 }), summary('m3', 1, 9)]);
    await tick();
    expect(list(room)).toEqual(['m3 1/0', 'm1 2/1']);
    told(summary('m1', 4, 20), summary('m7', 1, 21));
    await tick();
    expect(list(room)).toEqual(['m7 1/1', 'm1 4/3', 'm3 1/0']);
    told(summary('m1', 5, 30, { last: { seq: 30, ts: 1, user: 'ada' } }), summary('m3', 0, 0));
    await tick();
    expect(list(room)).toEqual(['m1 5/0', 'm7 1/1']);
    expect(room.info.value).not.toHaveProperty('threads');
  });

  it('knows what was read in another window', async () => {
    const room = await join([summary('m1', 2, 5, { unread: 2 })]);
    await tick();
    const read = (from: string, seq: number) => server.socket.say({ type: 'read', room: 'daily', thread: 'm1', from, data: { seq } });
    read('p-bob', 5);
    read('p-ada', 4);
    await tick();
    expect(list(room)).toEqual(['m1 2/2']);
    read('p-ada', 5);
    await tick();
    expect(list(room)).toEqual(['m1 2/0']);
  });

  it('brings nothing to a room without threads', async () => {
    const room = await join();
    expect(room.threads.value).toEqual([]);
  });
});

describe('following', () => {
  it('shows the window, then what comes, apart from the room', async () => {
    logs.m1 = [inThread('m1', 3, 0, 'bob', 'one')];
    const room = await join([summary('m1', 1, 3, { unread: 1 })]);
    const thread = await room.thread('m1');
    await tick();
    expect(thread.state.value).toBe('open');
    server.socket.say(inThread('m1', 7, 3, 'bob', 'two'), chat(8, 0, 'bob', 'aside'), inThread('m2', 9, 0, 'bob', 'elsewhere'));
    await tick();
    expect(show(thread)).toEqual(['one', 'two']);
    expect(room.chat.log.value.map((m) => m.text)).toEqual(['aside']);
    expect(thread.chat.unread.value).toBe(2);
    thread.chat.markRead();
    await tick();
    expect(server.sent('read')).toMatchObject([{ room: 'daily', thread: 'm1', data: { seq: 7 } }]);
    expect(list(room)).toEqual(['m1 1/0']);
  });

  it('acts in the thread', async () => {
    logs.m1 = [inThread('m1', 3, 0, 'ada', 'one')];
    const { chat: log } = await (await join()).thread('m1');
    await tick();
    await Promise.all([log.edit(3, 'uno'), log.react(3, '👍'), log.remove(3), log.clear()]);
    log.setTyping();
    await tick();
    for (const type of ['edit', 'reaction', 'delete', 'clear', 'typing']) expect(server.sent(type)).toMatchObject([{ room: 'daily', thread: 'm1' }]);
    server.answers.set('history', (m) => [{ type: 'history', id: m.id, room: 'daily', thread: m.thread, data: { messages: [inThread('m1', 1, 0, 'bob', 'zero')], more: false } }]);
    server.answers.set('subscribe-thread', (m) => [history(m, { more: true, recovered: false, messages: logs.m1 })]);
    server.socket.end(4009);
    await tick(2_000);
    expect(await log.loadOlder()).toBe(false);
    expect(log.log.value.map((m) => m.text)).toEqual(['zero', 'one']);
  });

  it('shows who writes there, and how far they have read', async () => {
    logs.m1 = [inThread('m1', 3, 0, 'ada', 'one')];
    const { chat: log } = await (await join()).thread('m1');
    await tick();
    const state = (type: string, data: object) => server.socket.say({ type, room: 'daily', thread: 'm1', from: 'p-bob', data });
    state('typing', { typing: true });
    state('read', { seq: 3 });
    await tick();
    expect(log.typing.value.map((p) => p.user)).toEqual(['bob']);
    expect(log.readBy(3)).toEqual(['bob']);
  });

  it('is one for all who ask, until the last has closed it', async () => {
    const room = await join();
    const [a, b] = await Promise.all([room.thread('m1'), room.thread('m1')]);
    await tick();
    expect(a).toBe(b);
    expect(server.sent('subscribe-thread')).toHaveLength(1);
    a.close();
    expect(b.state.value).toBe('open');
    b.close();
    b.close();
    await tick();
    expect(b.state.value).toBe('closed');
    expect(server.sent('unsubscribe-thread')).toMatchObject([{ room: 'daily', thread: 'm1' }]);
    expect((await room.thread('m1')).state.value).toBe('opening');
  });

  it('is undone when it was closed before the answer came', async () => {
    const room = await join();
    server.silent.add('subscribe-thread');
    const thread = await room.thread('m1');
    await tick();
    const [request] = server.sent('subscribe-thread');
    thread.close();
    expect(server.sent('unsubscribe-thread')).toHaveLength(0);
    server.socket.say(history(request as Envelope));
    await tick();
    expect(server.sent('unsubscribe-thread')).toHaveLength(1);
    expect(show(thread)).toEqual([]);
  });

  it('says why it is refused', async () => {
    server.answers.set('subscribe-thread', refusal('not-found'));
    const thread = await (await join()).thread('m404');
    await tick();
    expect(thread.state.value).toBe('closed');
    expect(thread.error.value).toMatchObject({ code: 'not-found' });
  });

  it('has a private thread under the name that the server gives it', async () => {
    logs['dm-1'] = [inThread('dm-1', 3, 0, 'bot:scribe', 'hello')];
    const room = await join();
    const thread = await room.thread({ private: 'bot:scribe' });
    expect(thread.name).toBe('dm-1');
    expect(thread.state.value).toBe('open');
    expect(show(thread)).toEqual(['hello']);
    server.socket.end(4009);
    await tick(2_000);
    // The server may have forgotten a thread that nobody wrote in: whom it is with is said again.
    expect(server.sent('subscribe-thread').at(-1)).toMatchObject({ thread: 'dm-1', data: { private: 'bot:scribe', since: { seq: 3, epoch: 'e1' } } });
    expect(await room.thread({ private: 'bot:scribe' })).toBe(thread);
  });

  it('ends with the room', async () => {
    const room = await join();
    const thread = await room.thread('m1');
    await tick();
    await room.leave();
    expect(thread.state.value).toBe('closed');
  });
});

describe('resuming', () => {
  it('asks for what came after the cursor, and misses nothing', async () => {
    logs.m1 = [inThread('m1', 3, 0, 'bob', 'one')];
    const thread = await (await join()).thread('m1');
    await tick();
    server.socket.end(4009);
    logs.m1.push(inThread('m1', 5, 3, 'bob', 'two'));
    await tick(2_000);
    expect(server.sent('subscribe-thread').map((m) => (m.data as { since: object }).since)).toEqual([{ seq: 0, epoch: '' }, { seq: 3, epoch: 'e1' }]);
    expect(show(thread)).toEqual(['one', 'two']);
    server.socket.say(inThread('m1', 6, 5, 'bob', 'three'));
    await tick();
    expect(show(thread)).toEqual(['one', 'two', 'three']);
  });

  it('closes a gap by subscribing again, once', async () => {
    logs.m1 = [inThread('m1', 3, 0, 'bob', 'one')];
    const thread = await (await join()).thread('m1');
    await tick();
    logs.m1.push(inThread('m1', 5, 3, 'bob', 'two'), inThread('m1', 7, 5, 'bob', 'three'));
    server.socket.say(inThread('m1', 7, 5, 'bob', 'three'));
    await tick();
    expect(show(thread)).toEqual(['one', 'two', 'three']);
    server.socket.say(inThread('m1', 12, 9, 'bob', 'four'));
    await tick();
    server.socket.say(inThread('m1', 12, 9, 'bob', 'four'));
    await tick();
    expect(show(thread)).toEqual(['one', 'two', 'three', 'four']);
    expect(server.sent('subscribe-thread')).toHaveLength(3);
    expect(server.sent('join')).toHaveLength(1);
  });
});

describe('sending', () => {
  /** The server stores what it is sent, and tells it before it acknowledges. */
  function storing(): void {
    let seq = 100;
    server.answers.set('chat', (m) => {
      const log = (logs[m.thread ?? ''] ??= []);
      const record = inThread(m.thread ?? '', ++seq, log.at(-1)?.seq ?? 0, 'ada', (m.data as { text: string }).text, { id: m.id });
      log.push(record);
      return [record, { type: 'ack', id: m.id, room: m.room, thread: m.thread, data: { seq } }];
    });
  }

  it('shows a message at once, and once', async () => {
    storing();
    const room = await join();
    const thread = await room.thread('m1');
    await tick();
    const sent = thread.chat.send('mine', { replyTo: 0 });
    expect(show(thread)).toEqual(['mine']);
    expect(await sent.done()).toBe(101);
    await tick();
    expect(show(thread)).toEqual(['mine']);
    expect(thread.chat.log.value[0]).toMatchObject({ seq: 101, isOwn: true, status: 'sent', key: sent.id });
    expect(server.sent('chat')).toMatchObject([{ room: 'daily', thread: 'm1', id: sent.id }]);
    expect(room.chat.log.value).toEqual([]);
    expect(client.outbox.value).toEqual([]);
  });

  it('keeps it through a lost connection, and sends it with the same id', async () => {
    const thread = await (await join()).thread('m1');
    await tick();
    server.silent.add('chat');
    const sent = thread.chat.send('mine');
    await tick();
    server.socket.end(1006);
    server.silent.delete('chat');
    storing();
    await tick(5_000);
    expect(await sent.done()).toBe(101);
    expect(new Set(server.sent('chat').map((m) => m.id))).toEqual(new Set([sent.id]));
    expect(show(thread)).toEqual(['mine']);
  });

  it('can be tried again after a refusal', async () => {
    const thread = await (await join()).thread('m1');
    await tick();
    server.answers.set('chat', refusal('forbidden'));
    const sent = thread.chat.send('mine');
    await tick();
    expect(sent.status.value).toBe('failed');
    storing();
    sent.retry();
    await tick();
    expect(sent.status.value).toBe('sent');
  });

  it('stays with what is not sent when it is closed, and goes when it is', async () => {
    const thread = await (await join()).thread('m1');
    await tick();
    server.silent.add('chat');
    const sent = thread.chat.send('mine');
    thread.close();
    expect(thread.state.value).toBe('open');
    server.silent.delete('chat');
    storing();
    server.socket.end(1006);
    await tick(5_000);
    expect(sent.status.value).toBe('sent');
    await tick();
    expect(thread.state.value).toBe('closed');
    expect(client.outbox.value).toEqual([]);
  });

  it('sends after a reload what was written before', async () => {
    const first = await (await join()).thread('m1');
    await tick();
    server.silent.add('chat');
    first.chat.send('mine');
    await tick();
    client.close();
    start();
    storing();
    const room = await join([summary('m1', 1, 3)]);
    await tick(1_000);
    expect(server.sent('chat')).toMatchObject([{ room: 'daily', thread: 'm1', data: { text: 'mine' } }]);
    expect(client.outbox.value).toEqual([]);
    expect(list(room)).toEqual(['m1 1/0']);
  });
});

it('keeps its outbox in the same store as the room', () => {
  const memory = new Map<string, string>();
  const storage = { getItem: (k: string) => memory.get(k) ?? null, setItem: (k: string, v: string) => void memory.set(k, v) } as unknown as Storage;
  const kept = webStorage(storage);
  kept.save('[{"id":"1","room":"daily~m1","text":"x","user":"ada","at":1}]');
  expect(createClient({ url: 'ws://h/ws', token: 't', WebSocket: server.WebSocket, outbox: { store: kept } }).outbox.value).toMatchObject([{ room: 'daily~m1' }]);
});
