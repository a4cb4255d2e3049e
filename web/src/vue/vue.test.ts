import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createRenderer, defineComponent, effectScope, nextTick, ref } from 'vue';
import type { EffectScope } from 'vue';
import { Value } from '../client/readable';
import { chat, FakeServer, participant } from '../client/testing/server';
import { createClient } from '../client/index';
import type { Envelope, Readable } from '../client/index';
import { provideClient, useBots, useChat, useClient, useReadable, useRoom, useRun, useThread, useThreads, useWebSocketChat } from './index';

let server: FakeServer;
let scope: EffectScope;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
  scope = effectScope();
});
afterEach(() => {
  scope.stop();
  vi.useRealTimers();
});
const tick = (ms = 0) => vi.advanceTimersByTimeAsync(ms);
const run = <T>(fn: () => T): T => scope.run(fn) as T;

describe('useReadable', () => {
  it('follows the value, another source, and ends with the scope', () => {
    const a = new Value(1);
    const b = new Value(10);
    const source = ref<Readable<number> | null>(null);
    const value = run(() => useReadable(() => source.value, 0));
    expect(value.value).toBe(0);
    source.value = a;
    expect(value.value).toBe(1);
    a.set(2);
    expect(value.value).toBe(2);
    source.value = b;
    a.set(3);
    expect(value.value).toBe(10);
    scope.stop();
    b.set(11);
    expect(value.value).toBe(10);
  });
});

describe('useRoom and useChat', () => {
  it('join, show, and leave with the component', async () => {
    server.joined = { participants: [participant('p-ada', 'ada')] };
    const client = createClient({ url: 'ws://h/ws', token: 't', WebSocket: server.WebSocket });
    const id = ref('daily');
    let shown: () => string[] = () => [];
    let state: ReturnType<typeof useRoom> | undefined;
    const component = defineComponent({
      setup() {
        expect(useClient()).toBe(client);
        state = useRoom(id, { call: false });
        const { log } = useChat(state.room);
        shown = () => log.value.map((m) => m.text);
        return () => null;
      },
    });
    const noop = () => undefined;
    // No DOM is needed: the component renders nothing.
    const renderer = createRenderer<object, object>({
      patchProp: noop, insert: noop, remove: noop, createElement: () => ({}), createText: () => ({}), createComment: () => ({}),
      setText: noop, setElementText: noop, parentNode: () => null, nextSibling: () => null,
    });
    const mounted = renderer.createApp(component);
    provideClient(mounted, client);
    mounted.mount({});
    await tick();
    expect(state?.room.value?.state.value).toBe('joined');
    server.socket.say(chat(1, 0, 'bob', 'hello'));
    await nextTick();
    expect(shown()).toEqual(['hello']);
    id.value = 'other';
    await nextTick();
    await tick();
    expect(server.sent('leave').map((m) => m.room)).toEqual(['daily']);
    expect(state?.room.value?.id).toBe('other');
    server.answers.set('join', (m) => [{ type: 'error', id: m.id, data: { code: 'forbidden', message: 'no', retryable: false } }]);
    id.value = 'secret';
    await nextTick();
    await tick();
    expect(state?.error.value?.code).toBe('forbidden');
    expect(state?.joining.value).toBe(false);
    mounted.unmount();
    client.close();
  });
});

describe('useBots and useRun', () => {
  it('show the bots, and the runs of one timeline', async () => {
    const seat = participant('p-scribe', 'bot:scribe', { kind: 'bot' });
    server.joined = {
      participants: [participant('p-ada', 'ada'), seat],
      bots: [{ bot: 'scribe', user: 'bot:scribe', name: 'Scribe', description: '', engine: 'built-in', enabled: true, tools: [], limits: {} }],
    };
    const client = createClient({ url: 'ws://h/ws', token: 't', WebSocket: server.WebSocket });
    const room = await client.join('daily', { call: false });
    const thread = ref('');
    const { list, runs, ask, shown } = run(() => {
      const bots = useBots(room, thread);
      return { ...bots, shown: useRun(() => bots.runs.value[0]) };
    });
    expect([list.value, runs.value, await ask('scribe', 'early'), shown.value.text]).toEqual([[], [], '', '']);
    await vi.waitFor(() => expect(list.value.map((bot) => [bot.name, bot.enabled])).toEqual([['Scribe', true]]));

    const frame = (type: string, data: object, more: Partial<Envelope> = {}): Envelope => ({ type, room: 'daily', from: seat.id, data, ...more });
    const by = { user: 'ada', name: 'Ada', kind: 'human' };
    server.socket.say(frame('agent-started', { run: 'r1', bot: 'scribe', by }), frame('agent-started', { run: 'r2', bot: 'scribe', by }, { thread: 't1' }));
    server.socket.say(frame('stream-chunk', { run: 'r2', message: 'r2', offset: 0, text: 'there' }));
    await tick();
    expect(runs.value.map(({ id }) => id)).toEqual(['r1']);
    thread.value = 't1';
    expect(runs.value.map(({ id }) => id)).toEqual(['r2']);
    expect(shown.value.text).toBe('there');
    await ask('scribe', 'here');
    expect(server.sent('ai-request').map(({ thread, data }) => [thread, data])).toEqual([['t1', { bot: 'scribe', prompt: 'here' }]]);
    client.close();
  });
});

describe('useThread and useThreads', () => {
  it('follow one thread after another, and none when the scope ends', async () => {
    await import('../client/extras');
    server.answers.set('subscribe-thread', (m) => [m.thread === 'm9'
      ? { type: 'error', id: m.id, data: { code: 'not-found', message: 'no', retryable: false } }
      : { type: 'thread-history', id: m.id, room: m.room, thread: m.thread, data: {
        messages: [chat(3, 0, 'bob', `in ${m.thread ?? ''}`)], recovered: false, more: false, runs: [], epoch: 'e1',
      } }]);
    server.joined = { threads: [{ thread: 'm1', messages: 1, last: { seq: 3, ts: 3 } }] };
    const client = createClient({ url: 'ws://h/ws', token: 't', WebSocket: server.WebSocket });
    const room = await client.join('daily', { call: false });
    const name = ref('');
    const { thread, threads } = run(() => ({ thread: useThread(room, name), threads: useThreads(room) }));
    await tick();
    expect(threads.value.map((t) => t.thread)).toEqual(['m1']);
    expect(thread.log.value).toEqual([]);
    expect(server.sent('subscribe-thread')).toEqual([]);
    const show = () => [thread.name.value, thread.state.value, ...thread.log.value.map((m) => m.text)];
    name.value = 'm1';
    await tick();
    expect(show()).toEqual(['m1', 'open', 'in m1']);
    name.value = 'm2';
    await tick();
    expect(show()).toEqual(['m2', 'open', 'in m2']);
    name.value = 'm9';
    await tick();
    expect(show()).toEqual(['m9', 'closed']);
    expect(thread.error.value?.code).toBe('not-found');
    name.value = 'm2';
    await tick();
    expect(thread.error.value).toBeNull();
    scope.stop();
    await tick();
    expect(server.sent('unsubscribe-thread').map((m) => m.thread)).toEqual(['m1', 'm2', 'm2']);
    client.close();
  });
});

describe('useWebSocketChat', () => {
  const make = (more: object = {}) => run(() => useWebSocketChat({ url: 'ws://h/ws?token=t1&x=1', WebSocket: server.WebSocket, ...more }));

  it('has exactly the members of its contract', () => {
    expect(Object.keys(make()).sort()).toEqual(['connect', 'disconnect', 'error', 'isConnected', 'off', 'on', 'send', 'status']);
  });

  it('connects by itself, with the token out of the URL', async () => {
    const socket = make();
    expect(socket.status.value).toBe('connecting');
    await tick();
    expect(socket.status.value).toBe('online');
    expect(socket.isConnected.value).toBe(true);
    expect(server.socket.url).toBe('ws://h/ws?x=1');
    expect(server.socket.messages[0]).toMatchObject({ type: 'auth', data: { token: 't1' } });
  });

  it('not by itself when told so', async () => {
    const socket = make({ autoConnect: false });
    await tick(1_000);
    expect(server.sockets).toHaveLength(0);
    await socket.connect();
    expect(socket.isConnected.value).toBe(true);
    socket.disconnect();
    expect(socket.status.value).toBe('closed');
    expect(socket.isConnected.value).toBe(false);
  });

  it('gives up after reconnectLimit attempts, within the intervals', async () => {
    const socket = make({ reconnectLimit: 3, reconnectInterval: 100 });
    await tick(6_000);
    server.accepting = false;
    server.socket.end(1006);
    await tick(49);
    expect(server.sockets).toHaveLength(1);
    await tick(60_000);
    expect(server.sockets).toHaveLength(4);
    expect(socket.status.value).toBe('closed');
    expect(socket.error.value?.code).toBe('network');
  });

  it('pings every heartbeatInterval', async () => {
    make({ heartbeatInterval: 2_000 });
    await tick(6_500);
    expect(server.sent('ping')).toHaveLength(3);
  });

  it('gives every message to those who listen, equal ones too', async () => {
    const socket = make();
    await tick();
    const seen: string[] = [];
    const chatSeen = (m: Envelope): void => { seen.push(`chat ${m.seq}`); };
    socket.on('chat', chatSeen);
    socket.on('*', (m) => seen.push(m.type));
    server.socket.say(chat(1, 0, 'bob', 'same'), chat(2, 1, 'bob', 'same'));
    socket.off('chat', chatSeen);
    server.socket.say(chat(3, 2, 'bob', 'same'));
    expect(seen).toEqual(['chat 1', 'chat', 'chat 2', 'chat', 'chat']);
  });

  it('keeps a chat until it is stored, and its room through a reconnect', async () => {
    let seq = 0;
    server.answers.set('chat', (m) => [{ type: 'ack', id: m.id, data: { seq: ++seq } }]);
    const socket = make({ reconnectInterval: 100 });
    await tick();
    await socket.send({ type: 'join', room: 'daily' });
    server.socket.end(1006);
    const sent = socket.send({ type: 'chat', room: 'daily', data: { text: 'hi' } });
    await tick(500);
    expect(await sent).toMatchObject({ type: 'ack', data: { seq: 1 } });
    expect(server.socket.messages.map((m) => m.type)).toEqual(['auth', 'join', 'chat']);
  });
});
