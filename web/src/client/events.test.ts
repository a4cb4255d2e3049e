import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { StreamEvent } from './events';
import { EventReader, EventSocket } from './events';
import { FakeServer } from './testing/server';
import type { Envelope } from './wire';

const utf8 = new TextEncoder();

/** Small random numbers that are the same in every run (Park and Miller). */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => (state = (state * 48_271) % 2_147_483_647) % below;
}

function readAll(pieces: Iterable<Uint8Array>): StreamEvent[] {
  const reader = new EventReader();
  return [...pieces].flatMap((piece) => reader.read(piece));
}

describe('EventReader', () => {
  const cases: [name: string, text: string, events: [name: string, data: string][]][] = [
    ['one', 'data: a\n\n', [['', 'a']]],
    ['no space, and more than one', 'data:a\n\ndata:  b\n\n', [['', 'a'], ['', ' b']]],
    ['a name, which lasts for one event', 'event: close\ndata: {}\n\ndata: x\n\n', [['close', '{}'], ['', 'x']]],
    ['several lines', 'data: a\ndata\ndata: b\n\n', [['', 'a\n\nb']]],
    ['comments and fields that mean nothing', ':\n: data: x\nid: 7\nretry: 1\ndata: a\nother: y\n\n', [['', 'a']]],
    ['carriage returns, alone and with line feeds', 'data: a\r\rdata: b\r\n\r\ndata: c\n\r\n', [['', 'a'], ['', 'b'], ['', 'c']]],
    ['a colon in the data', 'data: {"a":"b: c"}\n\n', [['', '{"a":"b: c"}']]],
    ['no data is no event', 'event: open\n\n\n\ndata\n\n', [['', '']]],
    ['what has not ended is none', 'data: a\n\ndata: b\n', [['', 'a']]],
    ['a byte order mark', '\uFEFFdata: a\n\n', [['', 'a']]],
    ['characters of every length', 'data: aß€😀\n\n', [['', 'aß€😀']]],
  ];
  it.each(cases)('reads %s', (_, text, events) => {
    expect(readAll([utf8.encode(text)])).toEqual(events.map(([name, data]) => ({ name, data })));
  });

  it.each(cases)('reads %s, byte by byte', (_, text, events) => {
    expect(readAll([...utf8.encode(text)].map((byte) => Uint8Array.of(byte)))).toEqual(events.map(([name, data]) => ({ name, data })));
  });

  it('reads the same however a stream is cut', () => {
    const alphabet = ['data', 'event', ':', ' ', '\n', '\n\n', '\r', '\r\n', '{"a":1}', 'ß', '😀', '\uFEFF', 'x'];
    const random = randomOf(7);
    let events = 0;
    for (let round = 0; round < 500; round++) {
      const bytes = utf8.encode(Array.from({ length: random(60) }, () => alphabet[random(alphabet.length)]).join('') + '\n\ndata: end\n\n');
      const whole = readAll([bytes]);
      for (let cut = 0; cut < 4; cut++) {
        const pieces: Uint8Array[] = [];
        for (let at = 0; at < bytes.length;) {
          const size = 1 + random(cut === 0 ? 2 : 12);
          pieces.push(bytes.subarray(at, at + size));
          at += size;
        }
        expect(readAll(pieces)).toEqual(whole);
      }
      events += whole.length;
    }
    expect(events).toBeGreaterThan(600);
  });

  it('survives bytes without sense, and holds no more than an event may have', () => {
    const random = randomOf(11);
    for (let round = 0; round < 200; round++) {
      readAll([Uint8Array.from({ length: 200 }, () => random(256))]);
    }
    const reader = new EventReader();
    const megabyte = utf8.encode('x'.repeat(1 << 20));
    expect(() => { for (let i = 0; i < 40; i++) reader.read(megabyte); }).toThrow('too large');
    const lines = new EventReader();
    const line = utf8.encode(`data: ${'x'.repeat(1 << 20)}\n`);
    expect(() => { for (let i = 0; i < 40; i++) lines.read(line); }).toThrow('too large');
  });
});

/* ---------------------------------------------------------------- the connection */

interface Sent { readonly number: string | null; readonly body: string; readonly ticket: string | null }

/** What the server does over HTTP, scripted: sessions, one stream, and what is sent. */
class FakeHTTP {
  readonly sessions: string[] = [];
  readonly sent: Sent[] = [];
  goodbyes = 0;
  /** Nothing of the stream passes. */
  heldBack = false;
  /** Pings stay unanswered. */
  mute = false;
  /** Answers of one's own to POST /session and POST /send, one for each; an Error is a request that fails on the way. */
  readonly sessionAnswers: (Response | Error)[] = [];
  readonly sendAnswers: (Response | Error)[] = [];
  stream: ReadableStreamDefaultController<Uint8Array> | null = null;
  ended = false;

  readonly fetch = async (url: URL, init: RequestInit = {}): Promise<Response> => {
    await Promise.resolve();
    const headers = new Headers(init.headers);
    const ticket = headers.get('Authorization');
    expect(url.protocol).toBe('http:');
    expect(url.search).toBe('');
    switch (`${init.method ?? 'GET'} ${url.pathname}`) {
      case 'POST /session': {
        this.sessions.push(String(init.body));
        return this.#own(this.sessionAnswers) ?? new Response(JSON.stringify(new FakeServer().hello()));
      }
      case 'DELETE /session': this.goodbyes++; return new Response(null, { status: 204 });
      case 'POST /send': {
        this.sent.push({ number: headers.get('Confab-Frame'), body: String(init.body), ticket });
        if (!this.mute && String(init.body).includes('"ping"')) this.say('data: {"type":"pong"}\n\n');
        return this.#own(this.sendAnswers) ?? new Response(null, { status: 204 });
      }
      case 'GET /events': {
        const body = new ReadableStream<Uint8Array>({ start: (stream) => { this.stream = stream; } });
        init.signal?.addEventListener('abort', () => { this.ended = true; });
        if (!this.heldBack) this.say('event: open\ndata: {}\n\n');
        return new Response(body);
      }
      default: return new Response('not found', { status: 404 });
    }
  };

  say(text: string): void {
    this.stream?.enqueue(utf8.encode(text));
  }

  #own(answers: (Response | Error)[]): Response | undefined {
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    return answer;
  }
}

let http: FakeHTTP;
const tick = (ms = 0) => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => {
  vi.useFakeTimers();
  http = new FakeHTTP();
  vi.stubGlobal('fetch', http.fetch);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.resetModules();
});

describe('EventSocket', () => {
  async function open() {
    const socket = new EventSocket('ws://host/ws');
    const heard: string[] = [];
    const ends: { code: number; reason: string }[] = [];
    socket.onmessage = ({ data }) => heard.push(data as string);
    socket.onclose = ({ code, reason }) => ends.push({ code, reason });
    await tick();
    socket.send('auth');
    await tick();
    return { socket, heard, ends };
  }

  it('gives connected when the events flow, and each event as a message', async () => {
    http.heldBack = true;
    const { heard, ends } = await open();
    expect(http.sessions).toEqual(['auth']);
    expect(heard).toEqual([]);
    http.say(': padding\n\nevent: open\ndata: {}\n\ndata: {"type":"a"}\n\n');
    await tick();
    expect(heard.map((text) => (JSON.parse(text) as Envelope).type)).toEqual(['connected', 'a']);
    http.say('event: close\ndata: {"code":4500,"reason":"why"}\n\n');
    await tick();
    expect(ends).toEqual([{ code: 4500, reason: 'why' }]);
    expect(http.ended).toBe(true);
  });

  it('takes events that are held back for a connection that was not made', async () => {
    http.heldBack = true;
    const { ends } = await open();
    await tick(4_900);
    expect(ends).toEqual([]);
    await tick(200);
    expect(ends).toEqual([{ code: 1006, reason: 'the events are held back' }]);
    expect(http.ended).toBe(true);
  });

  it('tells of a refusal as a WebSocket would', async () => {
    http.sessionAnswers.push(new Response('{"error":{"code":"unauthorized","message":"no"}}', { status: 401 }));
    const refused = await open();
    expect(refused.heard.map((text) => JSON.parse(text) as unknown)).toEqual([{ type: 'error', data: { code: 'unauthorized', message: 'no', retryable: false } }]);
    expect(refused.ends).toEqual([{ code: 1008, reason: 'unauthorized' }]);
    http.sessionAnswers.push(new Response('{"error":{"code":"rate-limited","message":"wait"}}', { status: 429, headers: { 'Retry-After': '7' } }));
    const limited = await open();
    expect(JSON.parse(limited.heard[0] ?? '')).toMatchObject({ data: { retryable: true, retryAfterMs: 7_000 } });
    expect(limited.ends[0]?.code).toBe(1013);
    http.sessionAnswers.push(new Response('<html>', { status: 404 }));
    expect((await open()).ends[0]?.code).toBe(1006);
  });

  it('sends one request at a time, with what has gathered, and within the limit', async () => {
    const { socket } = await open();
    socket.send('1');
    socket.send('2');
    socket.send('3');
    await tick();
    expect(http.sent).toEqual([
      { number: '1', body: '1', ticket: 'Bearer ticket-1' }, { number: '2', body: '2\n3', ticket: 'Bearer ticket-1' },
    ]);
    const long = 'ß'.repeat(20_000);
    for (const frame of ['a', long, long]) socket.send(frame);
    await tick();
    expect(http.sent.slice(2).map(({ body }) => body.length)).toEqual([1, 20_000, 20_000]);
  });

  it('repeats what failed on the way with the same number, before what comes after', async () => {
    const { socket, ends } = await open();
    http.sendAnswers.push(new Error('reset'), new Response(null, { status: 503 }));
    socket.send('1');
    await tick();
    socket.send('2');
    await tick(2_000);
    expect(http.sent.map(({ number, body }) => number + body)).toEqual(['11', '11', '11', '22']);
    for (let i = 0; i < 5; i++) http.sendAnswers.push(new Error('reset'));
    socket.send('3');
    await tick(10_000);
    expect(http.sent.filter(({ body }) => body === '3')).toHaveLength(5);
    expect(ends).toEqual([{ code: 1006, reason: 'nothing can be sent' }]);
  });

  it('waits for the reason when the session is over', async () => {
    const { socket, ends } = await open();
    http.sendAnswers.push(new Response(null, { status: 401 }));
    socket.send('1');
    await tick(100);
    http.say('event: close\ndata: {"code":4010,"reason":"replaced"}\n\n');
    await tick(2_000);
    expect(ends).toEqual([{ code: 4010, reason: 'replaced' }]);
    expect(http.sent).toHaveLength(1);
  });

  it('does not gather without end', async () => {
    const { socket, ends } = await open();
    for (let i = 0; i < 40; i++) socket.send('x'.repeat(50_000));
    expect(ends).toEqual([{ code: 1006, reason: 'too much is waiting' }]);
  });

  it('says goodbye after what still waits, and only when it is closed for good', async () => {
    const { socket } = await open();
    socket.send('last');
    socket.close(1000);
    await tick();
    expect(http.sent.map(({ body }) => body)).toEqual(['last']);
    expect(http.goodbyes).toBe(1);
    expect(http.ended).toBe(true);
    http.ended = false;
    (await open()).socket.close();
    await tick();
    expect(http.goodbyes).toBe(1);
    expect(http.ended).toBe(true);
  });

  it('says goodbye as the page goes', async () => {
    const page = new EventTarget();
    vi.stubGlobal('window', page);
    await open();
    page.dispatchEvent(Object.assign(new Event('pagehide'), { persisted: true }));
    expect(http.goodbyes).toBe(0);
    page.dispatchEvent(Object.assign(new Event('pagehide'), { persisted: false }));
    await tick();
    expect(http.goodbyes).toBe(1);
  });
});

describe('a client whose WebSockets are blocked', () => {
  let server: FakeServer;

  /** Every test is a page of its own. */
  async function make() {
    server = new FakeServer();
    vi.stubGlobal('WebSocket', server.WebSocket);
    const { createClient } = await import('./client');
    return createClient({ url: 'ws://host/ws', token: 't', retry: () => 1_000 });
  }
  /** Waits for what is loaded, which no clock drives, and for `ms` of the clock. */
  async function pass(ms: number): Promise<void> {
    await tick(ms);
    await vi.dynamicImportSettled();
    await tick();
  }

  it('goes over HTTP after two that were refused, and over a WebSocket as soon as they work', async () => {
    const client = await make();
    server.accepting = false;
    void client.connect();
    await pass(0);
    server.socket.end(1006);
    await pass(1_000);
    expect(http.sessions).toHaveLength(0);
    server.socket.end(1006);
    await pass(1_000);
    expect(client.state.value).toBe('online');
    expect(client.detail.value.fallback).toBe(true);
    expect(JSON.parse(http.sessions[0] ?? '')).toMatchObject({ type: 'auth', data: { token: 't' } });

    // Still blocked: the connection stays, and the question comes again after a while.
    await pass(10_100);
    expect(server.sockets).toHaveLength(3);
    server.socket.end(1006);
    await pass(170_000);
    expect(server.sockets).toHaveLength(3);
    expect(client.state.value).toBe('online');

    server.accepting = true;
    server.answers.set('ping', () => [{ type: 'error', data: { code: 'unauthorized' } }]);
    await pass(11_000);
    await pass(1_000);
    expect(client.state.value).toBe('online');
    expect(client.detail.value.fallback).toBe(false);
    expect(server.socket.messages[0]).toMatchObject({ type: 'auth', data: { ticket: 'ticket-1' } });
    // The old stream lasts until the server has heard of the new connection.
    expect(http.goodbyes).toBe(0);
    await tick(6_000);
    expect(http.ended).toBe(true);
    client.close();
  });

  it('asks at once when the network is another one', async () => {
    const page = new EventTarget();
    vi.stubGlobal('window', page);
    const client = await make();
    server.accepting = false;
    void client.connect();
    await pass(10_100);
    await pass(1_000);
    await pass(10_100);
    expect(server.sockets).toHaveLength(2);
    server.socket.end(1006);
    server.accepting = true;
    server.answers.set('ping', () => [{ type: 'error', data: { code: 'unauthorized' } }]);
    page.dispatchEvent(new Event('online'));
    await pass(100);
    await pass(1_000);
    expect(client.detail.value).toMatchObject({ state: 'online', fallback: false });
    client.close();
  });

  it('does so after one that got no answer', async () => {
    const client = await make();
    server.accepting = false;
    void client.connect();
    await pass(10_100);
    await pass(1_000);
    expect(client.detail.value.fallback).toBe(true);
    client.close();
    await tick();
    expect(http.goodbyes).toBe(1);
  });

  it('stays with HTTP when it connects anew, and tries a WebSocket after some minutes', async () => {
    const client = await make();
    server.accepting = false;
    void client.connect();
    await pass(10_100);
    await pass(1_000);
    const before = server.sockets.length;
    http.say('event: close\ndata: {"code":1012,"reason":"restart"}\n\n');
    await pass(0);
    await pass(1_000);
    expect(http.sessions).toHaveLength(2);
    expect(JSON.parse(http.sessions[1] ?? '')).toMatchObject({ data: { ticket: 'ticket-1' } });
    expect(server.sockets).toHaveLength(before);
    http.heldBack = true;
    http.say('event: close\ndata: {"code":1012,"reason":"restart"}\n\n');
    await pass(0);
    await pass(1_000);
    // Events that are held back: the next is a WebSocket again, and the one after it is not.
    await pass(5_100);
    await pass(1_000);
    expect(server.sockets).toHaveLength(before + 1);
    server.socket.end(1006);
    http.heldBack = false;
    await pass(1_000);
    expect(client.detail.value).toMatchObject({ state: 'online', fallback: true });
    client.close();
  });

  it('tries a WebSocket next when nothing comes after the beginning of the events', async () => {
    const client = await make();
    server.accepting = false;
    void client.connect();
    await pass(10_100);
    http.mute = true;
    await pass(1_000);
    expect(client.detail.value).toMatchObject({ state: 'online', fallback: true });
    const before = server.sockets.length;
    // A probe of the WebSocket comes after ten seconds too.
    client.request('moderate', {}).catch(() => undefined);
    await pass(7_500);
    expect(client.state.value).toBe('recovering');
    server.accepting = true;
    await pass(1_000);
    expect(server.sockets).toHaveLength(before + 1);
    expect(client.detail.value).toMatchObject({ state: 'online', fallback: false });
    client.close();
  });

  it('bears a server that restarts without leaving WebSockets', async () => {
    const client = await make();
    await client.connect();
    server.accepting = false;
    server.socket.end(1006);
    for (let i = 0; i < 2; i++) {
      await pass(1_000);
      server.socket.end(1006);
    }
    server.accepting = true;
    await pass(1_000);
    expect(client.detail.value).toMatchObject({ state: 'online', fallback: false });
    expect(http.sessions).toHaveLength(0);
    client.close();
  });

  it('does not ask a server over HTTP whose tokens cannot be had', async () => {
    const client = await make();
    client.close();
    const { createClient } = await import('./client');
    const other = createClient({ url: 'ws://host/ws', token: () => Promise.reject(new Error('no tokens')), retry: () => 1_000 });
    other.connect().catch(() => undefined);
    for (let i = 0; i < 5; i++) await pass(1_000);
    expect(http.sessions).toHaveLength(0);
    expect(server.sockets).toHaveLength(0);
    other.close();
  });
});
