import type { ChatRoom, ChatSession } from './chat';
import type { Outbox } from './outbox';
import type { Value } from './readable';
import type { Roster } from './roster';
import type { ClientErrorLike, Readable, RoomState, Thread, ThreadState } from './types';
import type { Envelope, Joined, Read, RoomUpdate, SubscribeThread, ThreadHistory, ThreadSummary, Typing } from './wire';

/** The room, as its threads see it. A thread is addressed as `room~thread`. */
export interface ThreadRoom {
  readonly id: string;
  readonly state: Readable<RoomState>;
  readonly isJoined: boolean;
  readonly roster: Roster;
  readonly outbox: Outbox;
  readonly threads: Value<readonly ThreadSummary[]>;
  user(): { id: string; name: string };
  request<T>(type: string, data: unknown, room?: string): Promise<Envelope<T>>;
  tell(type: string, data: unknown, room?: string): void;
}

/**
 * The threads of one room: the list that everybody has, and those that we follow. The module comes later
 * than the client, and imports nothing of it: the classes that it needs are handed to it.
 */
export class Threads {
  readonly #room: ThreadRoom;
  readonly #make: (name: string) => ThreadSession;
  readonly #followed = new Map<string, ThreadSession>();
  /** What the server says of each; of those that we follow we know better what is unread. */
  #told: readonly ThreadSummary[] = [];
  /** Private threads whose names are awaited. */
  #unnamed = 0;

  constructor(room: ThreadRoom, Chat: typeof ChatSession, Live: typeof Value) {
    this.#room = room;
    this.#make = (name) => {
      const session = new ThreadSession(name, room, Chat, Live, () => this.#release());
      this.#followed.set(name, session);
      session.chat.unread.subscribe(() => this.#list());
      return session;
    };
    room.outbox.entries.subscribe(() => this.#release());
    room.state.subscribe((state) => {
      if (state === 'joined' || state === 'rejoining') return;
      for (const name of this.#followed.keys()) this.#end(name);
    });
  }

  async open(name: string | { readonly private: string }): Promise<Thread> {
    if (typeof name === 'string') return this.#session(name).use();
    const body: SubscribeThread = { private: name.private };
    this.#unnamed++;
    try {
      // The answer says what the thread is called; receive() has seen it by then.
      const { thread = '' } = await this.#room.request<ThreadHistory>('subscribe-thread', body);
      const session = this.#followed.get(thread) ?? this.#make(thread);
      session.bot = name.private;
      return session.use();
    } finally {
      this.#unnamed--;
    }
  }

  receive(envelope: Envelope): void {
    const { type, thread, data } = envelope;
    if (thread) this.#receive(thread, envelope);
    else if (type === 'joined') this.#joined((data as Joined).threads);
    else if (type === 'room') this.#changed((data as RoomUpdate).threads ?? []);
  }

  #receive(name: string, envelope: Envelope): void {
    const { type, from, data } = envelope;
    const session = this.#followed.get(name) ?? (type === 'thread-history' && this.#unnamed > 0 ? this.#make(name) : undefined);
    if (session) session.receive(envelope);
    else if (type === 'read' && this.#room.roster.get(from)?.user === this.#room.user().id) this.#readElsewhere(name, data as Read);
  }

  /** Joined, at first or again: what was followed is followed anew, and what waits to be sent is sent. */
  #joined(threads: readonly ThreadSummary[]): void {
    this.#told = threads;
    this.#list();
    const prefix = `${this.#room.id}~`;
    for (const { room } of this.#room.outbox.entries.value) {
      if (room.startsWith(prefix)) this.#session(room.slice(prefix.length));
    }
    for (const session of this.#followed.values()) session.again();
  }

  #changed(changed: readonly ThreadSummary[]): void {
    const all = new Map(this.#told.map((t) => [t.thread, t]));
    for (const summary of changed) {
      const before = all.get(summary.thread);
      const grown = Math.max(0, summary.messages - (before?.messages ?? 0));
      // Who writes has read what was there.
      const unread = summary.last.user === this.#room.user().id ? 0 : (before?.unread ?? 0) + grown;
      all.set(summary.thread, { ...summary, unread });
    }
    this.#told = [...all.values()];
    this.#list();
  }

  /** The same person has read a thread in another window, and it is not followed here. */
  #readElsewhere(name: string, { seq }: Read): void {
    this.#told = this.#told.map((t) => (t.thread === name && seq >= t.last.seq ? { ...t, unread: 0 } : t));
    this.#list();
  }

  #list(): void {
    this.#told = this.#told.filter((t) => t.messages > 0).sort((a, b) => b.last.seq - a.last.seq).map((t) => {
      const session = this.#followed.get(t.thread);
      const unread = session?.state.value === 'open' ? session.chat.unread.value : t.unread ?? 0;
      return unread === t.unread ? t : { ...t, unread };
    });
    this.#room.threads.set(this.#told);
  }

  #session(name: string): ThreadSession {
    let session = this.#followed.get(name);
    if (!session) {
      session = this.#make(name);
      void session.catchUp();
    }
    return session;
  }

  /** Lets go of what nobody uses and nothing waits in. */
  #release(): void {
    if (this.#unnamed > 0) return;
    for (const [name, session] of this.#followed) if (session.isUnused) this.#end(name);
  }

  #end(name: string): void {
    this.#followed.get(name)?.end();
    this.#followed.delete(name);
  }
}

/** One thread that we follow: a chat like the room's, on a log of its own. */
class ThreadSession implements Thread {
  readonly name: string;
  /** Of a private thread: whom it is with. */
  bot: string | undefined;
  readonly state: Value<ThreadState>;
  readonly error: Value<ClientErrorLike | null>;
  readonly chat: ChatSession;

  readonly #room: ThreadRoom;
  readonly #id: string;
  readonly #released: () => void;
  #users = 0;
  /** Whether the first frame has come since the room was last joined. */
  #followed = false;
  #ended = false;

  constructor(name: string, room: ThreadRoom, Chat: typeof ChatSession, Live: typeof Value, released: () => void) {
    this.name = name;
    this.#room = room;
    this.#released = released;
    this.#id = `${room.id}~${name}`;
    this.state = new Live<ThreadState>('opening');
    this.error = new Live<ClientErrorLike | null>(null);
    this.chat = new Chat({
      id: this.#id, roster: room.roster, outbox: room.outbox, user: () => room.user(),
      request: (type, data) => room.request(type, data, this.#id),
      tell: (type, data) => room.tell(type, data, this.#id),
      catchUp: () => this.catchUp(),
    } satisfies ChatRoom);
  }

  get isUnused(): boolean {
    return this.#users === 0 && this.#room.outbox.ofRoom(this.#id).length === 0;
  }

  use(): this {
    this.#users++;
    return this;
  }

  close(): void {
    if (this.#users > 0) this.#users--;
    this.#released();
  }

  /** The room was joined again: the server has forgotten that we follow. */
  again(): void {
    this.#followed = false;
    this.chat.asking = false;
    void this.catchUp();
  }

  async catchUp(): Promise<boolean> {
    if (this.chat.asking || this.state.value === 'closed') return false;
    this.chat.asking = true;
    try {
      const body: SubscribeThread = { since: this.chat.cursor, private: this.bot };
      // The answer itself is handled in receive(): in order with the frames that follow it.
      await this.#room.request<ThreadHistory>('subscribe-thread', body, this.#id);
      if (this.#ended) this.#room.tell('unsubscribe-thread', {}, this.#id);
      return true;
    } catch (thrown) {
      this.chat.asking = false;
      const error = thrown as ClientErrorLike;
      // What may pass is tried again when the room is joined again.
      if (!error.retryable && error.code !== 'closed') {
        this.error.set(error);
        this.state.set('closed');
      }
      return false;
    }
  }

  receive(envelope: Envelope): void {
    const { type, seq, data } = envelope;
    const from = this.#room.roster.get(envelope.from);
    if (type === 'thread-history') this.#opened(envelope, data as ThreadHistory);
    else if (!this.#followed) return;
    else if (seq) this.chat.logged(envelope);
    else if (type === 'typing' && from) this.chat.setTypist(from.id, (data as Typing).typing);
    else if (type === 'read' && from) this.chat.setRead(from.user, (data as Read).seq);
  }

  end(): void {
    if (this.#followed) this.#room.tell('unsubscribe-thread', {}, this.#id);
    this.#ended = true;
    this.chat.close();
    this.state.set('closed');
  }

  #opened(envelope: Envelope, { messages, ...body }: ThreadHistory): void {
    this.#followed = true;
    this.chat.joined(envelope, { ...body, history: messages }, false);
    this.state.set('open');
    this.#room.outbox.pump(this.#id);
  }
}
