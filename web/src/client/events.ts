import type { WebSocketConstructor, WebSocketLike } from './types';

/** From the request for the events to the first of them: longer, and something between holds them back. */
const firstEventMs = 5_000;
/** A WebSocket is tried first again when the last try is this long ago; while the events are read, every so often. */
const againMs = 180_000;
/** The first such try comes sooner: a server that was away for a moment has no WebSockets either. */
const soonMs = 10_000;
const probeMs = 10_000;
/** What a WebSocket that takes over needs at most; until then the server must not see the old stream end. */
const overlapMs = 5_000;
/** What a request may bring, UTF-8 bytes: the server's limit on a frame. */
const bodyBytes = 65_536;
/** Frames that wait, in characters: what more than that gathers behind does not come to an end. */
const queueLimit = 1 << 20;
/** Characters of one event. */
const eventLimit = 1 << 25;
/** A request that failed on the way is repeated after so many milliseconds each. */
const repeatsMs = [300, 600, 1_200, 2_400];

/** One event of a stream: HTML section 9.2.6, but for ids and times to wait, which this stream does not use. */
export interface StreamEvent {
  /** Empty for one without a name. */
  readonly name: string;
  readonly data: string;
}

/** Reads a stream of events however it is cut into pieces. */
export class EventReader {
  readonly #decoder = new TextDecoder();
  #line = '';
  /** The last piece ended with a carriage return: a line feed at the beginning of the next belongs to it. */
  #afterReturn = false;
  #name = '';
  #data: string[] = [];
  #size = 0;

  /** The events that are whole with these bytes. Throws when one is larger than any can be. */
  read(bytes: Uint8Array): StreamEvent[] {
    // The decoder takes a byte order mark away, and keeps the beginning of a character until its end comes.
    let text = this.#decoder.decode(bytes, { stream: true });
    if (text === '') return [];
    if (this.#afterReturn && text.startsWith('\n')) text = text.slice(1);
    this.#afterReturn = text.endsWith('\r');
    const lines = text.split(/\r\n|\n|\r/);
    const events: StreamEvent[] = [];
    lines[0] = this.#line + (lines[0] ?? '');
    this.#line = lines.pop() ?? '';
    for (const line of lines) {
      const event = this.#take(line);
      if (event) events.push(event);
    }
    if (this.#line.length + this.#size > eventLimit) throw new Error('an event is too large');
    return events;
  }

  #take(line: string): StreamEvent | null {
    if (line === '') {
      const event = { name: this.#name, data: this.#data.join('\n') };
      const any = this.#data.length > 0;
      this.#name = '';
      this.#data = [];
      this.#size = 0;
      return any ? event : null;
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') this.#name = value;
    if (field === 'data') {
      this.#data.push(value);
      this.#size += value.length + 1;
    }
    return null;
  }
}

/** When a WebSocket was last tried on this page, Unix ms. */
let triedAt = 0;
/** Whether the next connection is to be a WebSocket, whenever the last was tried. */
let prefer = false;

/** What the next connection is made with, for a page on which WebSockets did not work. */
export function choose(): WebSocketConstructor {
  if (triedAt === 0) triedAt = Date.now();
  if (!prefer && Date.now() - triedAt < againMs) return EventSocket;
  triedAt = Date.now();
  prefer = false;
  return globalThis.WebSocket as WebSocketConstructor;
}

const encoder = new TextEncoder();
const wait = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms); });

/**
 * What behaves as a WebSocket and goes over plain HTTP: POST /session, GET /events and POST /send of the same server.
 * It is for where WebSockets are blocked, and comes with the first client that is.
 */
export class EventSocket implements WebSocketLike {
  readyState = 0;
  onopen: ((event: Event) => void) | null = null;
  onmessage: ((event: MessageEvent) => void) | null = null;
  onclose: ((event: CloseEvent) => void) | null = null;
  onerror: ((event: Event) => void) | null = null;

  readonly #url: string;
  /** Ends every request of this connection. */
  readonly #requests = new AbortController();
  readonly #page = new AbortController();
  #ticket = '';
  /** The answer to auth, until the events flow. */
  #connected = '';
  #begun = false;
  /** The server has refused us, or said something after the beginning: nothing holds the events back. */
  #reached = false;
  #queue: string[] = [];
  #number = 0;
  #sending: Promise<void> | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `url`: of the WebSocket. The other addresses stand beside it. */
  constructor(url: string) {
    this.#url = url;
    queueMicrotask(() => {
      if (this.readyState !== 0) return;
      this.readyState = 1;
      this.onopen?.(new Event('open'));
    });
  }

  /** The first frame must be auth. */
  send(frame: string): void {
    if (this.readyState !== 1) return;
    if (!this.#begun) {
      this.#begun = true;
      void this.#begin(frame);
      return;
    }
    this.#queue.push(frame);
    if (this.#queue.reduce((sum, { length }) => sum + length, 0) > queueLimit) this.#end(1006, 'too much is waiting');
    else this.#sending ??= this.#pump().finally(() => { this.#sending = null; });
  }

  /** With 1000 the server is told goodbye, after what still waits; else the connection simply ends. */
  close(code?: number): void {
    if (this.readyState >= 2) return;
    if (!this.#reached) prefer = true;
    this.readyState = 2;
    if (code === undefined) this.#release();
    else void Promise.resolve(this.#sending).then(() => this.#goodbye()).finally(() => this.#release());
  }

  #release(): void {
    this.readyState = 3;
    clearTimeout(this.#timer);
    this.#page.abort();
    this.#requests.abort();
  }

  #end(code: number, reason: string): void {
    if (this.readyState >= 2) return;
    // Perhaps it is not WebSockets that are blocked.
    if (!this.#reached) prefer = true;
    this.#release();
    this.onclose?.({ code, reason } as CloseEvent);
  }

  #fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { ...init.headers, ...(this.#ticket && { Authorization: `Bearer ${this.#ticket}` }) };
    const url = new URL(path, this.#url);
    url.protocol = url.protocol.replace('ws', 'http');
    return fetch(url, { cache: 'no-store', signal: this.#requests.signal, ...init, headers });
  }

  async #begin(auth: string): Promise<void> {
    try {
      const answer = await this.#fetch('session', { method: 'POST', body: auth });
      const text = await answer.text();
      if (!answer.ok) {
        this.#refused(answer, text);
        return;
      }
      this.#ticket = (JSON.parse(text) as { data: { ticket: string } }).data.ticket;
      this.#connected = text;
      this.#timer = setTimeout(() => this.#end(1006, 'the events are held back'), firstEventMs);
      this.#listen();
      await this.#read(await this.#fetch('events'));
      this.#end(1006, 'the events have ended');
    } catch (error) {
      this.#end(1006, String(error));
    }
  }

  #listen(): void {
    const page = globalThis.window as Window | undefined;
    const { signal } = this.#page;
    page?.addEventListener('pagehide', ({ persisted }) => { if (!persisted) void this.#goodbye(); }, { signal });
    // Another network, perhaps one that blocks nothing.
    page?.addEventListener('online', () => { if (this.#ticket) this.#probe(); }, { signal });
  }

  /** What is no answer of ours is taken for a connection that could not be made. */
  #refused(answer: Response, text: string): void {
    const { error } = JSON.parse(text) as { error: { code: string; message: string } };
    const retryAfterMs = Number(answer.headers.get('Retry-After')) * 1_000 || undefined;
    this.#reached = true;
    const retryable = answer.status === 429 || answer.status >= 500;
    this.#tell(JSON.stringify({ type: 'error', data: { ...error, retryable, retryAfterMs } }));
    this.#end(retryable ? 1013 : 1008, error.code);
  }

  async #read(answer: Response): Promise<void> {
    if (!answer.ok || !answer.body) return;
    const pieces = answer.body.getReader();
    const reader = new EventReader();
    for (;;) {
      const { value, done } = await pieces.read();
      if (done) return;
      for (const event of reader.read(value)) this.#event(event);
    }
  }

  #event({ name, data }: StreamEvent): void {
    if (name === 'open') {
      this.#open();
      return;
    }
    this.#reached = true;
    if (name === 'close') {
      const { code, reason } = JSON.parse(data) as { code: number; reason: string };
      this.#end(code, reason);
    } else if (name === '') this.#tell(data);
  }

  /** The beginning is there. */
  #open(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#probe(), soonMs);
    const connected = this.#connected;
    this.#connected = '';
    this.#tell(connected);
  }

  #tell(data: string): void {
    if (this.readyState === 1) this.onmessage?.({ data } as MessageEvent);
  }

  /** One request at a time, with everything that has gathered: they keep no order by themselves. */
  async #pump(): Promise<void> {
    while (this.#queue.length > 0 && this.readyState < 3) {
      if (await this.#deliver(this.#gather())) continue;
      this.#end(1006, 'nothing can be sent');
      return;
    }
  }

  #gather(): string {
    let body = this.#queue.shift() ?? '';
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      const more = `${body}\n${next}`;
      if (more.length > bodyBytes || encoder.encode(more).length > bodyBytes) break;
      body = more;
      this.#queue.shift();
    }
    return body;
  }

  /** Its number makes a repetition harmless: the request may have arrived although its answer did not. */
  async #deliver(body: string): Promise<boolean> {
    const number = String(++this.#number);
    for (const pause of [...repeatsMs, 0]) {
      try {
        const { ok, status } = await this.#fetch('send', { method: 'POST', body, headers: { 'Confab-Frame': number } });
        if (ok) return true;
        if (status === 401) {
          // The stream says why, if it can.
          await wait(1_000);
          return false;
        }
        if (status < 429) return false;
      } catch {
        if (this.#requests.signal.aborted) return false;
      }
      if (pause > 0) await wait(pause);
    }
    return false;
  }

  /** Outlives the page. */
  async #goodbye(): Promise<void> {
    if (this.#ticket) await this.#fetch('session', { method: 'DELETE', keepalive: true, signal: null }).catch(() => undefined);
  }

  /** Whether WebSockets work by now: something is said both ways. The server answers what is not auth with an error. */
  #probe(): void {
    clearTimeout(this.#timer);
    triedAt = Date.now();
    const probe = new WebSocket(this.#url, 'confab.v1');
    const limit = setTimeout(() => probe.close(), probeMs);
    probe.onopen = () => probe.send('{"type":"ping"}');
    probe.onmessage = () => {
      probe.close();
      this.#handOver();
    };
    probe.onclose = () => {
      clearTimeout(limit);
      clearTimeout(this.#timer);
      if (this.readyState === 1) this.#timer = setTimeout(() => this.#probe(), againMs);
    };
  }

  /** Ends for the client alone: the server hears of it from the WebSocket that takes the session over. */
  #handOver(): void {
    if (this.readyState !== 1) return;
    prefer = true;
    this.readyState = 3;
    clearTimeout(this.#timer);
    this.#page.abort();
    setTimeout(() => this.#requests.abort(), overlapMs);
    this.onclose?.({ code: 4000, reason: 'WebSockets work' } as CloseEvent);
  }
}
