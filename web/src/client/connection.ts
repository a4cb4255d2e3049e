import { ClientError } from './errors';
import { byteLength, Link } from './link';
import { Emitter, until, Value } from './readable';
import { newId, Requests } from './requests';
import { fullJitter, mayReconnect } from './retry';
import { Tokens } from './tokens';
import type {
  ClientErrorLike, ClientEvents, ClientOptions, ConnectionDetail, ConnectionState, ErrorCode,
  RequestOptions, WebSocketConstructor,
} from './types';
import type { Auth, Connected, Envelope, Limits, SystemStatus, WireError } from './wire';

/** A connection that lived this long was a good one: attempts are counted anew, milliseconds. */
const stableMs = 5_000;
/** Attempts while the browser says that there is no network; it is sometimes wrong. */
const offlineRetryMs = 30_000;
const defaultTimeoutMs = 15_000;

const codeErrors: Readonly<Record<number, ErrorCode>> = {
  1008: 'unauthorized', 1009: 'too-large', 4010: 'replaced', 4500: 'kicked', 4501: 'banned', 4502: 'ended',
  4503: 'rate-limited',
};

/**
 * Attempts in a row of this page that found nobody: after two the next is made with what works where WebSockets are
 * blocked. After a WebSocket that worked it takes one more, for a server that restarts is not there for a moment.
 */
let misses = 0;

export const hidden = (): boolean => globalThis.document?.visibilityState === 'hidden';
const offline = (): boolean => globalThis.navigator?.onLine === false;

/**
 * The one connection of a client: it is made, authenticated, watched and made again. Everything
 * here happens on the page's one thread; a link that was given up has no way to call back.
 */
export class Connection {
  readonly detail = new Value<ConnectionDetail>({
    state: 'idle', code: 0, reason: '', attempt: 0, nextRetryAt: null, recovered: false, fallback: false,
  });
  readonly state = new Value<ConnectionState>('idle');
  readonly error = new Value<ClientErrorLike | null>(null);
  readonly user = new Value<{ readonly id: string; readonly name: string } | null>(null);
  readonly limits = new Value<Limits>({ messageBytes: 65536, ratePerSecond: 50, history: 256 });
  readonly #events = new Emitter<ClientEvents>();

  readonly #options: ClientOptions;
  readonly #active: () => boolean;
  readonly #requests = new Requests(() => this.#link?.probe());
  readonly #tokens: Tokens;
  #link: Link | null = null;
  /** Grows with every attempt, so that what an earlier one awaited comes to nothing. */
  #turn = 0;
  #ticket: string | undefined;
  #lostAt = 0;
  #reconnectAfterMs = 0;
  #authError: ClientError | null = null;
  #freshTokenTried = false;
  /** Whether the present attempt goes another way than over a WebSocket. */
  #fallback = false;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #stableTimer: ReturnType<typeof setTimeout> | undefined;
  #pageEvents: AbortController | null = null;

  /** `active`: whether someone would notice a dead link soon (see Link). */
  constructor(options: ClientOptions, active: () => boolean) {
    this.#options = options;
    this.#active = active;
    this.#tokens = new Tokens(options.token, (token) => this.request('refresh', { token }));
  }

  connect(): Promise<void> {
    const state = this.state.value;
    if (state === 'idle' || state === 'closed') {
      this.#ticket = undefined;
      this.#freshTokenTried = false;
      this.#authError = null;
      this.error.set(null);
      this.#listenToPage();
      this.#lostAt = Date.now();
      this.#enter('connecting', { attempt: -1, code: 0, reason: '', recovered: false });
      void this.#open();
    }
    return this.ready();
  }

  async ready(options: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<void> {
    const state = await until(this.state, (s) => s === 'online' || s === 'closed', options);
    if (state === 'closed') throw this.error.value ?? new ClientError('closed');
  }

  on<K extends keyof ClientEvents>(name: K, fn: (event: ClientEvents[K]) => void): () => void {
    return this.#events.on(name, fn);
  }

  retryNow(): void {
    if (this.state.value === 'online') this.#link?.probe();
    else if (this.#retryTimer !== undefined) void this.#open();
  }

  close(reason = ''): void {
    if (this.state.value !== 'closed') this.#finish(new ClientError('closed', reason), 1000, reason);
  }

  request<T>(type: string, data?: unknown, options: RequestOptions = {}): Promise<Envelope<T>> {
    const id = options.id ?? newId();
    const failure = this.#post(type, id, data, options);
    if (failure) return Promise.reject(failure);
    return this.#requests.wait(id, options.timeoutMs ?? this.#options.timeoutMs ?? defaultTimeoutMs,
      options.signal) as Promise<Envelope<T>>;
  }

  send(type: string, data?: unknown, options: RequestOptions = {}): boolean {
    return this.#post(type, options.id, data, options) === null;
  }

  #post(type: string, id: string | undefined, data: unknown, o: RequestOptions): ClientError | null {
    if (this.state.value !== 'online' || !this.#link) return new ClientError('network');
    const [room, thread] = o.room?.split('~') ?? [];
    const line = JSON.stringify({ type, id, room, thread, to: o.to, data });
    if (byteLength(line) > this.limits.value.messageBytes) return new ClientError('too-large');
    this.#link.post(line);
    return null;
  }

  #enter(state: ConnectionState, change: Partial<ConnectionDetail>): void {
    this.detail.patch({ nextRetryAt: null, ...change, state });
    this.state.set(state);
  }

  async #open(): Promise<void> {
    const turn = ++this.#turn;
    this.#drop();
    this.#enter(this.user.value ? 'recovering' : 'connecting', { attempt: this.detail.value.attempt + 1 });
    let url: string;
    let token: string;
    const plain = this.#options.WebSocket ?? (globalThis.WebSocket as WebSocketConstructor);
    let Socket = plain;
    try {
      const option = this.#options.url;
      url = absolute(typeof option === 'function' ? await option() : option);
      token = await this.#tokens.get();
      // When that cannot be loaded, nobody is there to talk to either.
      if (misses > 1 && !this.#options.WebSocket) Socket = await import('./events').then((m) => m.choose(), () => plain);
    } catch (error) {
      if (turn !== this.#turn) return;
      const failure = ClientError.from(error, 'network');
      if (failure.retryable) this.#lost(1006, failure.message);
      else this.#finish(failure, 0, failure.message);
      return;
    }
    if (turn !== this.#turn) return;
    this.#fallback = Socket !== plain;
    const link: Link = this.#link = new Link(Socket, url, {
      open: () => {
        const data: Auth = { token, ticket: this.#ticket, client: this.#options.name };
        link.post(JSON.stringify({ type: 'auth', data }));
      },
      message: (envelope) => this.#receive(envelope),
      lost: (code, reason) => this.#lost(code, reason),
      active: this.#active,
    });
  }

  #receive(envelope: Envelope): void {
    if (this.state.value !== 'online') {
      if (envelope.type === 'connected') this.#online(envelope.data as Connected);
      else if (envelope.type === 'error') this.#authError = ClientError.fromWire(envelope.data as WireError);
      return;
    }
    if (envelope.type === 'system-status') {
      const status = envelope.data as SystemStatus;
      this.#reconnectAfterMs = status.reconnectAfterMs ?? 0;
      this.#events.emit('system-status', status);
    }
    if (envelope.type === 'error') this.#options.log?.warn('refused', envelope.data);
    this.#events.emit('message', envelope);
    this.#requests.settle(envelope);
  }

  #online(hello: Connected): void {
    this.#ticket = hello.ticket;
    misses = this.#fallback ? 2 : -1;
    this.#authError = null;
    this.#freshTokenTried = false;
    this.#reconnectAfterMs = 0;
    this.limits.set({ ...this.limits.value, ...hello.limits });
    this.user.set(hello.user);
    this.error.set(null);
    this.#link?.established(this.#options.heartbeatMs ?? hello.heartbeatMs, this.limits.value.messageBytes);
    this.#tokens.watch(hello.expiresAt);
    this.#stableTimer = setTimeout(() => this.detail.patch({ attempt: 0 }), stableMs);
    this.#enter('online', { code: 0, reason: '', recovered: hello.resumed, fallback: this.#fallback });
    this.#events.emit('connected', { session: hello.session, resumed: hello.resumed });
  }

  #lost(code: number, reason: string): void {
    if (this.state.value === 'online') this.#lostAt = Date.now();
    // A silence says more than a refusal, which a server that restarts gives too.
    else if (this.#link && code === 1006 && !offline()) misses += reason ? 2 : 1;
    this.#drop();
    if (code === 4001) this.#tokens.renew('expired');
    const refused = this.#authError;
    const text = reason || `closed ${code}`;
    this.#authError = null;
    if (refused?.code === 'unauthorized' && this.#tokens.renewable && !this.#freshTokenTried) {
      // One try with a fresh token; if that is refused too, the person has to sign in.
      this.#freshTokenTried = true;
      this.#tokens.renew('unauthorized');
    } else if (refused ? !refused.retryable : !mayReconnect(code)) {
      this.#finish(refused ?? new ClientError(codeErrors[code] ?? 'protocol', text), code, reason);
      return;
    }
    const context = { attempt: this.detail.value.attempt + 1, elapsedMs: Date.now() - this.#lostAt, code };
    const { retry = fullJitter } = this.#options;
    const chosen = retry(context);
    const failure = new ClientError('network', text);
    if (chosen === null) {
      this.#finish(failure, code, reason);
      return;
    }
    const away = offline();
    const delay = Math.max(chosen, refused?.retryAfterMs ?? 0, this.#reconnectAfterMs, away ? offlineRetryMs : 0);
    this.#reconnectAfterMs = 0;
    this.#retryTimer = setTimeout(() => void this.#open(), delay);
    this.error.set(failure);
    this.#enter(away ? 'offline' : this.user.value ? 'recovering' : 'connecting',
      { code, reason, nextRetryAt: Date.now() + delay });
    this.#requests.failAll(failure);
  }

  #finish(error: ClientError, code: number, reason: string): void {
    this.#turn++;
    const link = this.#link;
    this.#drop();
    link?.close(reason);
    this.#pageEvents?.abort();
    this.error.set(error);
    this.#enter('closed', { code, reason });
    this.#requests.failAll(error);
  }

  #drop(): void {
    this.#link = null;
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#stableTimer);
    this.#retryTimer = undefined;
    this.#tokens.stop();
  }

  /** The moments at which a network comes back or turns out to be another one. */
  #listenToPage(): void {
    this.#pageEvents = new AbortController();
    const { signal } = this.#pageEvents;
    const wake = (): void => this.retryNow();
    for (const event of ['online', 'offline', 'pageshow']) globalThis.window?.addEventListener(event, wake, { signal });
    globalThis.document?.addEventListener('visibilitychange', () => hidden() || wake(), { signal });
  }
}

/** A path on this page's origin becomes a WebSocket address; http becomes ws. */
export function absolute(url: string): string {
  const result = new URL(url, globalThis.location?.href);
  result.protocol = result.protocol.replace('http', 'ws');
  return result.href;
}
