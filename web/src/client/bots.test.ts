import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createClient } from './client';
import { chat, FakeServer, participant, refusal } from './testing/server';
import type { Bots, Room, Run } from './types';
import type { BotInfo, Envelope, RunReceipt, RunState } from './wire';

let server: FakeServer;

const ada = { user: 'ada', name: 'Ada', kind: 'human' as const };
const info = (bot: string): BotInfo => ({
  bot, user: `bot:${bot}`, name: bot.toUpperCase(), avatar: '📝', description: 'Writes.', engine: 'built-in', enabled: false, tools: [], limits: {},
});
const seat = (bot: string) => participant(`p-${bot}`, `bot:${bot}`, { kind: 'bot', name: bot.toUpperCase() });

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
  server.joined = { bots: [info('scribe'), info('host')], participants: [participant('p-ada', 'ada'), seat('scribe'), seat('host')] };
});
afterEach(() => { vi.useRealTimers(); });

const tick = (ms = 0) => vi.advanceTimersByTimeAsync(ms);

/** The lazy part comes in its own time, however many ticks the loader takes. */
async function join(): Promise<{ room: Room; bots: Bots }> {
  const client = createClient({ url: 'ws://h/ws', token: 't', WebSocket: server.WebSocket, retry: () => 1_000 });
  const room = await client.join('daily', { call: false });
  return { room, bots: await loaded(room) };
}
const loaded = async (room: Room): Promise<Bots> => vi.waitFor(() => room.bots.value ?? Promise.reject(new Error('not loaded')));

const frame = (type: string, data: object, more: Partial<Envelope> = {}): Envelope => ({ type, room: 'daily', from: 'p-scribe', ts: 5_000, data, ...more });
const started = (run: string, more: object = {}, envelope: Partial<Envelope> = {}) => frame('agent-started', { run, bot: 'scribe', by: ada, ...more }, envelope);
const chunk = (run: string, offset: number, text: string) => frame('stream-chunk', { run, message: run, offset, text });
const completed = (run: string, more: object = {}) => frame('agent-completed', { run, status: 'completed', ms: 9, firstTokenMs: 3, ...more });
const receipt = (run: string): RunReceipt => ({ run, bot: 'scribe', status: 'completed', by: ada, model: 'built-in', ms: 9, firstTokenMs: 3 });
const answer = (seq: number, prev: number, run: string, text: string): Envelope =>
  chat(seq, prev, 'bot:scribe', text, { id: run, author: { user: 'bot:scribe', name: 'SCRIBE', kind: 'bot' }, data: { text, run: receipt(run) } });
const going = (run: string, text: string, more: Partial<RunState> = {}): RunState => ({
  start: { run, bot: 'scribe', by: ada }, from: 'p-scribe', started: 1_000, message: run, text, ...more,
});
const say = (...messages: Envelope[]) => server.socket.say(...messages);
const only = (bots: Bots): Run => {
  const [run, ...others] = bots.runs.value;
  if (!run || others.length > 0) throw new Error(`${bots.runs.value.length} runs`);
  return run;
};
const texts = (bots: Bots) => bots.runs.value.map((run) => run.progress.value.text);

describe('the list of bots', () => {
  it('is not there where the server has none', async () => {
    server.joined = {};
    const client = createClient({ url: 'ws://h/ws', token: 't', WebSocket: server.WebSocket });
    const room = await client.join('daily', { call: false });
    await tick(1_000);
    expect(room.bots.value).toBeNull();
  });

  it('says who takes part, as they come and go', async () => {
    server.joined.participants = [participant('p-ada', 'ada'), seat('host')];
    const { bots } = await join();
    const enabled = () => bots.list.value.map((bot) => [bot.bot, bot.enabled]);
    expect(enabled()).toEqual([['scribe', false], ['host', true]]);
    say(frame('presence', { event: 'joined', participant: seat('scribe') }), frame('presence', { event: 'left', participant: seat('host') }));
    expect(enabled()).toEqual([['scribe', true], ['host', false]]);
  });

  it('follows the server when it has others after a restart', async () => {
    const { bots } = await join();
    server.joined.bots = [];
    server.socket.end(1012);
    await tick(2_000);
    expect(bots.list.value).toEqual([]);
  });
});

describe('requests', () => {
  it('are sent in the timeline they belong to', async () => {
    const { bots } = await join();
    server.answers.set('ai-request', (m) => [{ type: 'ack', id: m.id, data: { run: 'r1' } }]);
    await bots.toggle('scribe', true);
    expect(await bots.ask('scribe', 'What now?', { thread: 't1', replyTo: 7 })).toBe('r1');
    expect(await bots.regenerate({ seq: 9, run: receipt('r0') })).toBe('r1');
    say(started('r1', {}, { thread: 't1' }));
    await bots.cancel('r1');
    await bots.decide('r1', 'c1', 'd1', false);
    const sent = (type: string) => server.sent(type).map(({ data, thread }) => ({ data, thread }));
    expect(sent('bot-toggle')).toEqual([{ data: { bot: 'scribe', enabled: true }, thread: undefined }]);
    expect(sent('ai-request')).toEqual([
      { data: { bot: 'scribe', prompt: 'What now?', replyTo: 7 }, thread: 't1' },
      { data: { bot: 'scribe', regenerate: 9 }, thread: undefined },
    ]);
    expect(sent('ai-cancel')).toEqual([{ data: { run: 'r1' }, thread: 't1' }]);
    expect(sent('tool-approval')).toEqual([{ data: { run: 'r1', call: 'c1', digest: 'd1', approve: false }, thread: 't1' }]);
  });

  it('tell at once when a limit says to wait long, and wait out a short one', async () => {
    const { bots } = await join();
    server.answers.set('ai-request', refusal('rate-limited', true, 12_000));
    await expect(bots.ask('scribe', 'x')).rejects.toMatchObject({ code: 'rate-limited', retryAfterMs: 12_000 });
    expect(server.sent('ai-request')).toHaveLength(1);

    server.answers.set('ai-request', refusal('rate-limited', true, 1_000));
    const asked = bots.ask('scribe', 'y');
    await tick();
    server.answers.set('ai-request', (m) => [{ type: 'ack', id: m.id, data: { run: 'r2' } }]);
    await tick(1_000);
    expect(await asked).toBe('r2');
    const [, one, two] = server.sent('ai-request');
    expect(two?.id).toBe(one?.id);
  });
});

describe('a run', () => {
  it('tells what it is at, and its text as it grows', async () => {
    const { bots } = await join();
    say(started('r1', { replyTo: 4, prompt: 'p', regenerate: 2 }));
    const run = only(bots);
    expect(run).toMatchObject({ id: 'r1', bot: 'scribe', author: { user: 'bot:scribe', name: 'SCRIBE', kind: 'bot' }, thread: '', by: ada, prompt: 'p', replyTo: 4, regenerate: 2 });
    const seen: unknown[] = [];
    run.progress.subscribe(({ phase, thinking, text, whole }) => seen.push([phase, thinking, text, whole]));
    say(frame('agent-thinking', { run: 'r1', phase: 'context' }));
    await tick();
    say(frame('agent-thinking', { run: 'r1', text: 'They ask ' }), frame('agent-thinking', { run: 'r1', text: 'for x.', phase: 'model' }));
    await tick();
    say(frame('stream-start', { run: 'r1', message: 'r1' }), chunk('r1', 0, 'We '), chunk('r1', 3, 'did.'));
    await tick();
    say(frame('stream-end', { run: 'r1', message: 'r1', length: 7, reason: 'stop' }));
    await tick();
    expect(seen).toEqual([
      [null, '', '', false],
      ['context', '', '', false],
      ['model', 'They ask for x.', '', false],
      [null, 'They ask for x.', 'We did.', false],
      [null, 'They ask for x.', 'We did.', true],
    ]);
  });

  it('becomes its message in one turn, under the same key', async () => {
    const { room, bots } = await join();
    say(started('r1'), chunk('r1', 0, 'We did.'));
    await tick();
    const shown: string[][] = [];
    const look = () => shown.push([...room.chat.log.value.map((m) => m.key), ...bots.runs.value.map((r) => r.id)]);
    bots.runs.subscribe(look);
    room.chat.log.subscribe(look);
    say(frame('stream-end', { run: 'r1', message: 'r1', length: 7, reason: 'stop' }));
    say(answer(3, 0, 'r1', 'We did.'));
    say(completed('r1', { message: 3 }));
    await tick();
    expect(shown.every((keys) => keys.join() === 'r1')).toBe(true);
    expect(room.chat.log.value.at(-1)).toMatchObject({ key: 'r1', text: 'We did.', run: { run: 'r1', model: 'built-in' } });
    expect(bots.runs.value).toEqual([]);
  });

  it('ends without a message when it was cancelled before its first word', async () => {
    const { room, bots } = await join();
    say(started('r1'), completed('r1', { status: 'cancelled' }));
    expect(bots.runs.value).toEqual([]);
    expect(room.chat.log.value).toEqual([]);
  });

  it('that is refused leaves no message, but a word', async () => {
    const { bots } = await join();
    expect(bots.refusal.value).toBeNull();
    say(started('r1', { replyTo: 4 }), completed('r1', { status: 'failed', error: { code: 'rate-limited', message: 'too often', retryable: true, retryAfterMs: 9_000 } }));
    expect(bots.runs.value).toEqual([]);
    expect(bots.refusal.value).toMatchObject({ run: { id: 'r1', bot: 'scribe', by: ada }, code: 'rate-limited', message: 'too often', retryAfterMs: 9_000 });
  });

  it('does not mix with others', async () => {
    const { bots } = await join();
    say(started('r1'), started('r2', { bot: 'host' }, { from: 'p-host', thread: 't1' }), chunk('r1', 0, 'a'), chunk('r2', 0, '1'), chunk('r2', 1, '2'), chunk('r1', 1, 'b'));
    say(frame('tool-executing', { run: 'r2', call: 'c1', tool: 'roll', input: {} }));
    expect(texts(bots)).toEqual(['ab', '12']);
    expect(bots.runs.value.map((run) => [run.thread, run.author.name, run.progress.value.tools.length])).toEqual([['', 'SCRIBE', 0], ['t1', 'HOST', 1]]);
    say(answer(3, 0, 'r1', 'ab'));
    expect(texts(bots)).toEqual(['12']);
    // A frame that nobody waits for changes nothing.
    say(chunk('r1', 2, 'c'), chunk('r9', 0, 'x'));
    expect(texts(bots)).toEqual(['12']);
  });

  it('counts in UTF-16 code units, and takes what is new of a merged piece', async () => {
    const { bots } = await join();
    say(started('r1'), chunk('r1', 0, '👩‍🚀 Hi'));
    expect('👩‍🚀 Hi').toHaveLength(8);
    say(chunk('r1', 0, '👩‍🚀 Hi'), chunk('r1', 6, 'Hi, Ada 🎉'), chunk('r1', 3, '🚀'));
    expect(texts(bots)).toEqual(['👩‍🚀 Hi, Ada 🎉']);
    say(chunk('r1', 16, '!'));
    expect(texts(bots)).toEqual(['👩‍🚀 Hi, Ada 🎉!']);
    expect(server.sent('join')).toHaveLength(1);
  });
});

describe('tools', () => {
  it('go from their call to their end', async () => {
    const { bots } = await join();
    say(started('r1'), frame('tool-executing', { run: 'r1', call: 'c1', tool: 'read', title: 'Reads', input: { limit: 5 } }), frame('tool-executing', { run: 'r1', call: 'c2', tool: 'roll', input: null }));
    const steps = () => only(bots).progress.value.tools.map(({ call, state, output, error, ms }) => [call, state, output, error, ms]);
    expect(only(bots).progress.value.tools[0]).toMatchObject({ tool: 'read', title: 'Reads', input: { limit: 5 } });
    say(frame('tool-completed', { run: 'r1', call: 'c2', tool: 'roll', ok: false, error: 'no dice', ms: 4 }));
    expect(steps()).toEqual([['c1', 'running', '', '', 0], ['c2', 'failed', '', 'no dice', 4]]);
    say(frame('tool-completed', { run: 'r1', call: 'c1', tool: 'read', ok: true, output: '[]', ms: 7 }));
    expect(steps()[0]).toEqual(['c1', 'done', '[]', '', 7]);
  });

  it.each(['denied', 'expired'] as const)('that write wait for a word: %s', async (state) => {
    const { bots } = await join();
    const approval = { run: 'r1', call: 'c1', tool: 'create', title: 'Opens a ticket', input: { title: 'x' }, digest: 'd1' };
    say(started('r1'), frame('tool-approval', { ...approval, state: 'asked' }));
    const step = () => only(bots).progress.value.tools[0];
    expect(step()).toMatchObject({ call: 'c1', state: 'asked', digest: 'd1', input: { title: 'x' } });
    say(frame('tool-approval', { ...approval, state, by: 'grace' }));
    expect(step()).toMatchObject({ state, decidedBy: 'grace' });
    say(frame('tool-completed', { run: 'r1', call: 'c1', tool: 'create', ok: false, error: 'not allowed', ms: 0 }));
    expect(step()).toMatchObject({ state, error: 'not allowed', title: 'Opens a ticket' });
  });

  it('that were granted run', async () => {
    const { bots } = await join();
    say(started('r1'), frame('tool-approval', { run: 'r1', call: 'c1', tool: 'create', input: 1, digest: 'd', state: 'granted', by: 'ada' }));
    say(frame('tool-executing', { run: 'r1', call: 'c1', tool: 'create', input: 1 }));
    expect(only(bots).progress.value.tools).toMatchObject([{ state: 'running', decidedBy: 'ada' }]);
  });
});

describe('joining in the middle', () => {
  it('finds all so far and goes on from there', async () => {
    vi.setSystemTime(900_000);
    server.joined.runs = [going('r1', 'We deci', {
      thinking: 'hm', tools: [{ run: 'r1', call: 'c1', tool: 'read', input: {} }, { run: 'r1', call: 'c2', tool: 'read', input: {} }],
      done: [{ run: 'r1', call: 'c1', tool: 'read', ok: true, ms: 2 }],
      waiting: { run: 'r1', call: 'c3', tool: 'create', input: {}, digest: 'd', state: 'asked' },
    })];
    server.answers.set('join', (m) => {
      const welcome = { ...server.welcome(m), ts: 4_000 };
      // More comes before the part for bots is there.
      queueMicrotask(() => say(welcome, chunk('r1', 7, 'ded')));
      return [];
    });
    const { bots } = await join();
    say(chunk('r1', 7, 'ded'), chunk('r1', 10, ' it.'));
    const run = only(bots);
    expect(run).toMatchObject({ thread: '', by: ada });
    // Three seconds ago, whatever our clock says.
    expect(Date.now() - run.startedAt).toBeGreaterThanOrEqual(3_000);
    expect(Date.now() - run.startedAt).toBeLessThan(3_200);
    expect(run.progress.value).toMatchObject({ text: 'We decided it.', thinking: 'hm', phase: null });
    expect(run.progress.value.tools.map(({ call, state }) => [call, state])).toEqual([['c1', 'done'], ['c2', 'running'], ['c3', 'asked']]);
  });

  it('finds those of a thread as it is followed, and leaves those of others alone', async () => {
    server.joined.runs = [going('r1', 'here')];
    server.answers.set('subscribe-thread', (m) => [{
      type: 'thread-history', id: m.id, room: m.room, thread: m.thread, seq: 9,
      data: { messages: [answer(9, 0, 'r3', 'told')], recovered: false, more: false, epoch: 'e1', runs: [going('r2', 'there ', { thread: 't1' }), going('r3', 'told', { thread: 't1' })] },
    }]);
    const { room, bots } = await join();
    await room.thread('t1');
    await tick();
    expect(bots.runs.value.map((run) => [run.id, run.thread])).toEqual([['r1', ''], ['r2', 't1']]);
    say({ ...chunk('r2', 6, 'too'), thread: 't1' });
    expect(texts(bots)).toEqual(['here', 'there too']);
    // Back after a loss: the room names its own first, the thread then names its own.
    server.joined.runs = [];
    server.socket.end(1006);
    await tick(2_000);
    expect(bots.runs.value.map((run) => run.id)).toEqual(['r2']);
    say({ ...answer(12, 9, 'r2', 'there too'), thread: 't1' });
    expect(bots.runs.value).toEqual([]);
  });

  it('keeps a run through a connection loss, and its object', async () => {
    const { bots } = await join();
    say(started('r1'), chunk('r1', 0, 'one '));
    const run = only(bots);
    server.joined = { ...server.joined, recovered: true, runs: [going('r1', 'one two ')] };
    server.socket.end(1006);
    expect(only(bots)).toBe(run);
    await tick(2_000);
    expect(only(bots)).toBe(run);
    say(chunk('r1', 8, 'three'));
    expect(run.progress.value.text).toBe('one two three');
  });

  it('ends a run that is not named any more: its message came with the history', async () => {
    const { room, bots } = await join();
    say(started('r1'), chunk('r1', 0, 'one'), started('r2'));
    server.joined = { ...server.joined, recovered: true, seq: 3, history: [answer(3, 0, 'r1', 'one two')], runs: [going('r2', '')] };
    server.socket.end(1006);
    await tick(2_000);
    expect(bots.runs.value.map((run) => run.id)).toEqual(['r2']);
    expect(room.chat.log.value.map((m) => [m.key, m.text])).toEqual([['r1', 'one two']]);
  });

  it('does not show a run beside its message', async () => {
    server.joined = { ...server.joined, seq: 3, history: [answer(3, 0, 'r1', 'one')], runs: [going('r1', 'one')] };
    const { room, bots } = await join();
    expect(bots.runs.value).toEqual([]);
    say(completed('r1', { message: 3 }));
    expect(room.chat.log.value.map((m) => m.key)).toEqual(['r1']);
  });

  it('joins again when a piece is missing, once for each gap', async () => {
    const { bots } = await join();
    say(started('r1'), chunk('r1', 0, 'one '));
    server.joined = { ...server.joined, recovered: true, runs: [going('r1', 'one two three ')] };
    say(chunk('r1', 8, 'three '));
    await tick();
    expect(server.sent('join')).toHaveLength(2);
    expect(texts(bots)).toEqual(['one two three ']);
    say(chunk('r1', 14, 'four'));
    expect(texts(bots)).toEqual(['one two three four']);

    // What the server itself does not have cannot be asked for again and again.
    server.joined = { ...server.joined, runs: [going('r1', 'one two three four')] };
    for (const offset of [30, 31, 32]) {
      say(chunk('r1', offset, 'x'));
      await tick();
    }
    expect(server.sent('join')).toHaveLength(3);
    say(answer(5, 0, 'r1', 'one two three four and all'));
    expect(bots.runs.value).toEqual([]);
  });
});

describe('a voice', () => {
  const caption = (text: string, final: boolean, participant = 'p-scribe') =>
    frame('caption', { participant, text, final, run: 'r1' }, { from: participant });
  const said = (bots: Bots) => bots.captions.value.map(({ participant, text }) => `${participant}: ${text}`);

  it('is asked for', async () => {
    const { bots } = await join();
    await bots.setVoice('scribe', true);
    expect(server.sent('bot-voice')).toMatchObject([{ room: 'daily', data: { bot: 'scribe', speak: true } }]);
  });

  it('has captions as long as something is said', async () => {
    const { bots } = await join();
    say(started('r1'), caption('One.', false));
    expect(said(bots)).toEqual(['p-scribe: One.']);
    say(caption('One.', true), caption('Two.', false), caption('Hi.', false, 'p-host'));
    expect(said(bots)).toEqual(['p-scribe: Two.', 'p-host: Hi.']);
    say({ type: 'presence', room: 'daily', data: { event: 'left', participant: seat('host') } });
    expect(said(bots)).toEqual(['p-scribe: Two.']);
    say(caption('Two.', true));
    expect(said(bots)).toEqual([]);
  });

  it('may be an ear', async () => {
    const { bots } = await join();
    await bots.setHearing('scribe', true);
    expect(server.sent('bot-voice')).toMatchObject([{ room: 'daily', data: { bot: 'scribe', hear: true } }]);
  });

  it('has what people have said for as long as it takes to read', async () => {
    const { bots } = await join();
    const heard = (text: string) => frame('caption', { participant: 'p-ada', text, final: true }, { from: 'p-ada' });
    say(heard('Hello.'), caption('Two.', false));
    expect(said(bots)).toEqual(['p-ada: Hello.', 'p-scribe: Two.']);
    await tick(2_000);
    say(heard('Are you there?'));
    await tick(2_000);
    expect(said(bots)).toEqual(['p-ada: Are you there?', 'p-scribe: Two.']);
    await tick(1_000);
    expect(said(bots)).toEqual(['p-scribe: Two.']);
  });

  it('forgets what it was saying when the connection was lost', async () => {
    const { bots } = await join();
    say(caption('One.', false));
    expect(said(bots)).toEqual(['p-scribe: One.']);
    server.socket.end(1006);
    await tick(2_000);
    await vi.waitFor(() => expect(said(bots)).toEqual([]));
  });
});
