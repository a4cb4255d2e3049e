import { Connection, hidden } from './connection';
import { ClientError } from './errors';
import { Outbox } from './outbox';
import { Value } from './readable';
import { RoomSession } from './room';
import type {
  Client, ClientEvents, ClientOptions, JoinOptions, Outgoing, Readable, RequestOptions, Room,
} from './types';
import type * as wire from './wire';

/** Makes a client; nothing is connected before connect() or join(). */
export function createClient(options: ClientOptions): Client {
  return new ClientSession(options);
}

class ClientSession implements Client {
  readonly rooms = new Value<readonly Room[]>([]);
  readonly outbox: Readable<readonly Outgoing[]>;
  readonly #connection: Connection;
  readonly #outbox: Outbox;
  readonly #rooms = new Map<string, { room: RoomSession; joined: Promise<Room> }>();

  constructor(options: ClientOptions) {
    const connection = new Connection(options, () => this.#inUse());
    this.#connection = connection;
    this.#outbox = new Outbox({
      ready: (room) => this.#rooms.get(room)?.room.isJoined ?? false,
      user: () => connection.user.value?.id ?? '',
      position: (room) => this.#rooms.get(room)?.room.position ?? 0,
      request: (type, data, o) => connection.request(type, data, o),
    }, options.outbox);
    this.outbox = this.#outbox.entries;
    connection.events.on('message', (envelope) => this.#dispatch(envelope));
    connection.events.on('connected', () => this.#connected());
    connection.state.subscribe((state) => {
      if (state !== 'online') for (const { room } of this.#rooms.values()) room.suspend();
      if (state === 'closed') for (const { room } of [...this.#rooms.values()]) room.drop();
    });
  }

  get state() { return this.#connection.state; }
  get detail() { return this.#connection.detail; }
  get error() { return this.#connection.error; }
  get user() { return this.#connection.user; }
  get limits() { return this.#connection.limits; }

  connect(): Promise<void> { return this.#connection.connect(); }
  ready(options?: { timeoutMs?: number; signal?: AbortSignal }): Promise<void> { return this.#connection.ready(options); }
  retryNow(): void { this.#connection.retryNow(); }
  close(reason?: string): void { this.#connection.close(reason); }

  request<T>(type: string, data?: unknown, options?: RequestOptions): Promise<wire.Envelope<T>> {
    return this.#connection.request<T>(type, data, options);
  }

  send(type: string, data?: unknown, options?: RequestOptions): boolean {
    return this.#connection.send(type, data, options);
  }

  on<K extends keyof ClientEvents>(name: K, fn: (event: ClientEvents[K]) => void): () => void {
    return this.#connection.events.on(name, fn);
  }

  join(id: string, options: JoinOptions = {}): Promise<Room> {
    const present = this.#rooms.get(id);
    if (present) return present.joined;
    const room = new RoomSession(id, this.#connection, this.#outbox, options, () => {
      this.#rooms.delete(id);
      this.#publish();
    });
    const joined = this.#join(room, options.signal);
    this.#rooms.set(id, { room, joined });
    return joined;
  }

  async #join(room: RoomSession, signal?: AbortSignal): Promise<Room> {
    // The entry in #rooms comes first: what follows must not run before it is there.
    await Promise.resolve();
    try {
      await new Promise<void>((resolve, reject) => {
        const abort = (): void => reject(new ClientError('cancelled'));
        signal?.addEventListener('abort', abort, { once: true });
        if (signal?.aborted) abort();
        room.state.subscribe((state) => {
          if (state === 'joined') resolve();
          else if (state !== 'rejoining') reject(room.refusal ?? this.error.value ?? new ClientError('closed'));
        });
        this.connect().catch(reject);
        // When not online yet, #connected enters all rooms.
        if (this.state.value === 'online') void room.enter();
      });
    } catch (error) {
      room.drop();
      throw error;
    }
    this.#publish();
    return room;
  }

  #inUse(): boolean {
    for (const { room } of this.#rooms.values()) if (room.inCall || !hidden()) return true;
    return false;
  }

  #connected(): void {
    const user = this.user.value?.id;
    if (user !== undefined) this.#outbox.adopt(user);
    for (const { room } of [...this.#rooms.values()]) void room.enter();
  }

  #dispatch(envelope: wire.Envelope): void {
    if (envelope.room === undefined) return;
    this.#rooms.get(envelope.room)?.room.receive(envelope);
  }

  #publish(): void {
    this.rooms.set([...this.#rooms.values()].map((r) => r.room).filter((r) => r.everJoined));
  }
}
