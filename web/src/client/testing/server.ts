import type { WebSocketConstructor, WebSocketLike } from '../types';
import type { Connected, Envelope, Joined, MediaState, Participant } from '../wire';

const grants = { publish: ['microphone' as const, 'camera' as const], subscribe: true, chat: true, bots: true };
export const quiet: MediaState = { microphone: false, camera: false, screen: false, hand: false };

export function participant(id: string, user = id, change: Partial<Participant> = {}): Participant {
  return {
    id, user, name: user, kind: 'human', role: 'member', status: 'online', joinedAt: 1, media: quiet, ...change,
  };
}

export function chat(seq: number, prev: number, user: string, text: string, more: Partial<Envelope> = {}): Envelope {
  return {
    type: 'chat', room: 'daily', id: `id-${seq}`, seq, prev: prev || undefined, ts: 1_000 + seq, from: `p-${user}`,
    author: { user, name: user, kind: 'human' }, data: { text }, ...more,
  };
}

/** One end of a scripted socket. */
export class FakeSocket implements WebSocketLike {
  readyState = 0;
  onopen: ((event: Event) => void) | null = null;
  onmessage: ((event: MessageEvent) => void) | null = null;
  onclose: ((event: CloseEvent) => void) | null = null;
  onerror: ((event: Event) => void) | null = null;
  /** What the client sent, frame by frame. */
  readonly frames: string[] = [];
  /** Nothing passes any more, and nobody says so. */
  deaf = false;
  closedWith: number | null = null;
  readonly #server: FakeServer;
  readonly url: string;

  constructor(server: FakeServer, url: string) {
    this.#server = server;
    this.url = url;
    server.sockets.push(this);
    if (server.accepting) queueMicrotask(() => this.open());
  }

  open(): void {
    if (this.readyState !== 0) return;
    this.readyState = 1;
    this.onopen?.(new Event('open'));
  }

  send(data: string): void {
    if (this.readyState !== 1) throw new Error('not open');
    this.frames.push(data);
    if (this.deaf) return;
    for (const line of data.split('\n')) this.#server.receive(this, JSON.parse(line) as Envelope);
  }

  close(code = 1000): void {
    this.readyState = 3;
    this.closedWith = code;
  }

  get messages(): Envelope[] {
    return this.frames.flatMap((frame) => frame.split('\n')).map((line) => JSON.parse(line) as Envelope);
  }

  /** From the server, several messages in one frame. */
  say(...messages: Envelope[]): void {
    if (this.deaf || this.readyState !== 1) return;
    this.onmessage?.({ data: messages.map((m) => JSON.stringify(m)).join('\n') } as MessageEvent);
  }

  /** The connection ends with that code. */
  end(code: number, reason = ''): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose?.({ code, reason } as CloseEvent);
  }
}

/** A server whose every word can be scripted; by default it lets everyone in and acknowledges everything. */
export class FakeServer {
  readonly sockets: FakeSocket[] = [];
  accepting = true;
  connected: Partial<Connected> = {};
  joined: Partial<Joined> & { seq?: number } = {};
  user = { id: 'ada', name: 'Ada' };
  self = 'p-ada';
  /** Types that get no answer. */
  readonly silent = new Set<string>();
  /** Answers of one's own; undefined = the default one. */
  readonly answers = new Map<string, (message: Envelope) => Envelope[] | undefined>();

  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (!socket) throw new Error('nobody connected');
    return socket;
  }

  readonly WebSocket: WebSocketConstructor = ((server: FakeServer) => class extends FakeSocket {
    constructor(url: string) { super(server, url); }
  })(this);

  /** All messages of a type that came on any connection. */
  sent(type: string): Envelope[] {
    return this.sockets.flatMap((s) => s.messages).filter((m) => m.type === type);
  }

  receive(socket: FakeSocket, message: Envelope): void {
    if (this.silent.has(message.type)) return;
    const own = this.answers.get(message.type)?.(message);
    // A real answer never comes within the call that sends.
    queueMicrotask(() => { for (const answer of own ?? this.#standard(message)) socket.say(answer); });
  }

  hello(): Envelope {
    const data: Connected = {
      session: this.self, ticket: 'ticket-1', user: this.user, resumed: false, heartbeatMs: 30_000,
      limits: { messageBytes: 65_536, ratePerSecond: 50, history: 256 }, ...this.connected,
    };
    return { type: 'connected', data };
  }

  welcome(message: Envelope): Envelope {
    const self = participant(this.self, this.user.id);
    const { seq, ...change } = this.joined;
    const data: Joined = {
      self, role: 'member', grants, participants: [self], history: [], recovered: false, more: false, threads: [], bots: [], runs: [],
      media: { mode: 'mesh', iceServers: [] }, epoch: 'e1', ...change,
    };
    return { type: 'joined', id: message.id, room: message.room, seq, data };
  }

  #standard(message: Envelope): Envelope[] {
    switch (message.type) {
      case 'auth': return [this.hello()];
      case 'ping': return [{ type: 'pong' }];
      case 'join': return [this.welcome(message)];
      default: return message.id === undefined ? [] : [{ type: 'ack', id: message.id, data: {} }];
    }
  }
}

export function refusal(code: string, retryable = false, retryAfterMs?: number) {
  return (message: Envelope): Envelope[] => [{ type: 'error', id: message.id, data: { code, message: code, retryable, retryAfterMs } }];
}
