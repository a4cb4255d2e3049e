import { Connection, hidden } from './connection';
import { ClientError } from './errors';
import { Outbox } from './outbox';
import { until, Value } from './readable';
import { RoomSession } from './room';
import type { Client, ClientOptions, JoinOptions, Outgoing, Readable, Room } from './types';

/** Makes a client; nothing is connected before connect() or join(). */
export function createClient(options: ClientOptions): Client {
  return new ClientSession(options);
}

class ClientSession extends Connection implements Client {
  readonly rooms = new Value<readonly Room[]>([]);
  readonly outbox: Readable<readonly Outgoing[]>;
  readonly #outbox: Outbox;
  readonly #rooms = new Map<string, RoomSession>();

  constructor(options: ClientOptions) {
    super(options, () => this.#inUse());
    this.#outbox = new Outbox({
      room: (id) => this.#rooms.get(id.replace(/~.*/, '')),
      user: () => this.user.value?.id ?? '',
      request: (type, data, o) => this.request(type, data, o),
    }, options.outbox);
    this.outbox = this.#outbox.entries;
    this.on('message', (envelope) => this.#rooms.get(envelope.room ?? '')?.receive(envelope));
    this.on('connected', () => {
      this.#outbox.adopt(this.user.value?.id ?? '');
      for (const room of [...this.#rooms.values()]) void room.enter();
    });
    this.state.subscribe((state) => {
      if (state !== 'online') for (const room of this.#rooms.values()) room.suspend();
      if (state === 'closed') for (const room of [...this.#rooms.values()]) room.drop();
    });
  }

  join(id: string, options: JoinOptions = {}): Promise<Room> {
    const present = this.#rooms.get(id);
    if (present) return present.joined;
    const room = new RoomSession(id, this, this.#outbox, options, () => {
      this.#rooms.delete(id);
      this.#publish();
    });
    this.#rooms.set(id, room);
    room.joined = this.#join(room, options.signal);
    return room.joined;
  }

  async #join(room: RoomSession, signal?: AbortSignal): Promise<Room> {
    try {
      // A connection that closes for good drops the room, which ends the wait.
      this.connect().catch(() => undefined);
      // When not online yet, `connected` enters all rooms.
      if (this.state.value === 'online') void room.enter();
      const state = await until(room.state, (s) => s !== 'rejoining', { signal });
      if (state !== 'joined') throw room.refusal ?? this.error.value ?? new ClientError('closed');
    } catch (error) {
      // The server may have let us in all the same.
      void room.leave();
      throw error;
    }
    this.#publish();
    return room;
  }

  #inUse(): boolean {
    for (const room of this.#rooms.values()) if (room.inCall || !hidden()) return true;
    return false;
  }

  #publish(): void {
    this.rooms.set([...this.#rooms.values()].filter((room) => room.everJoined));
  }
}
