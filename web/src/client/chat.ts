import type { Outbox, OutboxEntry } from './outbox';
import { Computed, Value } from './readable';
import type { Roster } from './roster';
import { blank, Timeline } from './timeline';
import type { Chat, Message, Outgoing, Person, SendOptions } from './types';
import type { Cursor, Envelope, History, Joined, Read, Typing } from './wire';

/** `typing` is repeated this often while someone writes: the server forgets it after 5 s. */
const typingRepeatMs = 3_000;
const typingStopMs = 4_000;
/** What the server should have cleared, should its message be lost. */
const typingForgetMs = 7_000;
/** Read marks go out at most this often. */
const readEveryMs = 2_000;

/** What a chat is in: a room, or a thread of one. */
export interface ChatRoom {
  /** Of a thread: `room~thread`. */
  readonly id: string;
  readonly roster: Roster;
  readonly outbox: Outbox;
  user(): { id: string; name: string };
  /** Awaits the room being joined, and repeats what fails on the way with the same id. */
  request<T>(type: string, data: unknown): Promise<Envelope<T>>;
  /** Sends if joined, else does nothing. */
  tell(type: string, data: unknown): void;
  /** Asks for what comes after `cursor`, if that is not under way; resolves with whether there was an answer. */
  catchUp(): Promise<boolean>;
}

/** The first frame of a timeline: its window, or all after `cursor`. */
type Opening = Pick<Joined, 'recovered' | 'history' | 'more' | 'reads' | 'epoch'>;

/**
 * One timeline, kept up with through every reconnect. The cursor is how far its log was folded in; a
 * record that does not follow it means that some are missing: they are asked for.
 */
export class ChatSession implements Chat {
  readonly log: Computed<readonly Message[]>;
  readonly more = new Value(false);
  readonly typing: Computed<readonly Person[]>;
  readonly unread: Computed<number>;
  readonly firstUnread: Computed<number>;
  readonly readMarks = new Value<ReadonlyMap<string, number>>(new Map());

  readonly #room: ChatRoom;
  readonly #timeline: Timeline;
  readonly #keys = new Map<number, string>();
  readonly #typists = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #stopOutbox: () => void;
  #typingSentAt = 0;
  #typingTimer: ReturnType<typeof setTimeout> | undefined;
  /** What counts as read as long as nobody said so: what was there when we came. */
  #baseline = 0;
  #readSent = 0;
  #readTimer: ReturnType<typeof setTimeout> | undefined;
  #loading: Promise<boolean> | null = null;
  /** The last record of the log that was folded in. Before the first `joined` it is of no epoch, and asks for the window. */
  cursor: Cursor = { seq: 0, epoch: '' };
  /** Whether the answer is on its way that brings what comes after. */
  asking = false;
  /** A gap right after this position was asked about already: what is missing there does not exist. */
  #askedAt = -1;

  constructor(room: ChatRoom) {
    this.#room = room;
    this.#timeline = new Timeline({
      user: () => room.user().id,
      keyOf: (id, seq) => {
        const own = room.outbox.stored(room.id, id, seq);
        if (own !== null) this.#keys.set(seq, own);
        return this.#keys.get(seq) ?? null;
      },
    });
    this.log = new Computed<readonly Message[]>(() => [...this.#timeline.messages, ...this.#pending()]);
    this.typing = new Computed<readonly Person[]>(() => this.#typing());
    this.unread = new Computed(() => this.#unread().length);
    this.firstUnread = new Computed(() => this.#unread()[0]?.seq ?? 0);
    this.#stopOutbox = room.outbox.entries.subscribe(() => this.log.invalidate());
  }

  /* ------------------------------------------------ what the room hands over */

  /** The first frame, or the one that catches up. Returns the messages that came while we were away. */
  joined({ seq }: Envelope, body: Opening, first: boolean): Message[] {
    const { recovered, history, epoch } = body;
    const position = seq ?? Math.max(history.at(-1)?.seq ?? 0, recovered ? this.cursor.seq : 0);
    const fresh: Message[] = [];
    this.asking = false;
    this.cursor = { seq: position, epoch };
    if (recovered) {
      for (const record of history) {
        const message = this.#timeline.apply(record);
        if (message) fresh.push(message);
      }
    } else {
      this.#timeline.reset(history, body.more);
    }
    if (first) this.#baseline = position;
    this.#mergeReads(body.reads ?? {});
    for (const id of [...this.#typists.keys()]) this.setTypist(id, false);
    this.#room.outbox.settled(this.#room.id, position);
    this.#changed();
    return fresh;
  }

  /** One record of the log; returns the message when it was a new one. */
  logged(record: Envelope): Message | null {
    const { seq = 0, prev } = record;
    const at = this.cursor.seq;
    // What the answer under way will bring is not taken twice.
    if (seq <= at || this.asking) return null;
    if (prev && prev !== at && this.#askedAt !== at) {
      void this.#closeGap(at);
      return null;
    }
    this.cursor.seq = seq;
    const message = this.#timeline.apply(record);
    if (record.from !== undefined && record.type === 'chat') this.setTypist(record.from, false);
    this.#changed();
    return message;
  }

  async #closeGap(at: number): Promise<void> {
    // Once only: when the log itself has no more, the hole is not one that asking can close.
    if (await this.#room.catchUp() && this.cursor.seq === at) this.#askedAt = at;
  }

  /** The server's marks replace ours, but for our own when it could not be sent. */
  #mergeReads(reads: Record<string, number>): void {
    const user = this.#room.user().id;
    const own = this.readMarks.value.get(user) ?? 0;
    const marks = new Map(Object.entries(reads));
    this.#readSent = marks.get(user) ?? 0;
    if (own > this.#readSent) marks.set(user, own);
    this.readMarks.set(marks);
    if (this.#readTimer === undefined) this.#sendRead();
  }

  setTypist(participant: string, typing: boolean): void {
    clearTimeout(this.#typists.get(participant));
    if (typing) {
      this.#typists.set(participant, setTimeout(() => this.setTypist(participant, false), typingForgetMs));
    } else if (!this.#typists.delete(participant)) return;
    this.typing.invalidate();
  }

  setRead(user: string, seq: number): void {
    if (seq <= (this.readMarks.value.get(user) ?? 0)) return;
    this.readMarks.set(new Map(this.readMarks.value).set(user, seq));
    this.#invalidateUnread();
  }

  close(): void {
    this.#stopOutbox();
    clearTimeout(this.#typingTimer);
    clearTimeout(this.#readTimer);
    for (const timer of this.#typists.values()) clearTimeout(timer);
  }

  /* ------------------------------------------------ what the application calls */

  send(text: string, options?: SendOptions): Outgoing {
    // The server clears the flag as the message arrives.
    clearTimeout(this.#typingTimer);
    this.#typingSentAt = 0;
    const entry = this.#room.outbox.send(this.#room.id, text, options);
    this.log.invalidate();
    return entry;
  }

  async edit(seq: number, text: string): Promise<void> {
    await this.#room.request('edit', { message: seq, text });
  }

  async remove(seq: number): Promise<void> {
    await this.#room.request('delete', { message: seq });
  }

  async react(seq: number, emoji: string, on?: boolean): Promise<void> {
    const users = this.#timeline.get(seq)?.reactions[emoji] ?? [];
    await this.#room.request('reaction', { message: seq, emoji, on: on ?? !users.includes(this.#room.user().id) });
  }

  async clear(): Promise<void> {
    await this.#room.request('clear', {});
  }

  setTyping(typing = true): void {
    clearTimeout(this.#typingTimer);
    const now = Date.now();
    if (typing) {
      this.#typingTimer = setTimeout(() => this.setTyping(false), typingStopMs);
      if (now - this.#typingSentAt < typingRepeatMs) return;
    } else if (this.#typingSentAt === 0) return;
    this.#typingSentAt = typing ? now : 0;
    this.#room.tell('typing', { typing } satisfies Typing);
  }

  markRead(seq = this.#timeline.last): void {
    const user = this.#room.user().id;
    const before = this.readMarks.value.get(user) ?? 0;
    if (seq <= before || (before === 0 && seq < this.#baseline)) return;
    this.setRead(user, seq);
    if (this.#readTimer === undefined) this.#sendRead();
  }

  readBy(seq: number): readonly string[] {
    const author = this.#timeline.get(seq)?.author.user;
    const self = this.#room.user().id;
    return [...this.readMarks.value].filter(([user, mark]) => mark >= seq && user !== self && user !== author).map(([user]) => user);
  }

  loadOlder(limit = 50): Promise<boolean> {
    this.#loading ??= this.#loadOlder(limit).finally(() => { this.#loading = null; });
    return this.#loading;
  }

  async #loadOlder(limit: number): Promise<boolean> {
    const before = this.#timeline.first;
    if (!this.#timeline.more) return false;
    const { messages, more } = (await this.#room.request<History>('history', { before, limit })).data as History;
    // The window may have been replaced meanwhile: then the page belongs to nothing.
    if (this.#timeline.first === before) {
      this.#timeline.prepend(messages, more);
      this.#changed();
    }
    return this.#timeline.more;
  }

  /** Trailing throttle: the first mark goes at once, later ones together. */
  #sendRead(): void {
    const mark = this.readMarks.value.get(this.#room.user().id) ?? 0;
    if (mark <= this.#readSent) {
      this.#readTimer = undefined;
      return;
    }
    this.#readSent = mark;
    this.#room.tell('read', { seq: mark } satisfies Read);
    this.#readTimer = setTimeout(() => this.#sendRead(), readEveryMs);
  }

  #changed(): void {
    this.more.set(this.#timeline.more);
    this.log.invalidate();
    this.#invalidateUnread();
  }

  #invalidateUnread(): void {
    this.unread.invalidate();
    this.firstUnread.invalidate();
  }

  #pending(): Message[] {
    const { id, name } = this.#room.user();
    return this.#room.outbox.ofRoom(this.#room.id).map((entry) => unsent(entry, id, name));
  }

  #typing(): Person[] {
    const users = new Set([...this.#typists.keys()].map((id) => this.#room.roster.get(id)?.user));
    return this.#room.roster.people.value.filter((p) => users.has(p.user) && !p.isSelf);
  }

  #unread(): Message[] {
    const mark = this.readMarks.value.get(this.#room.user().id) ?? this.#baseline;
    return this.#timeline.messages.filter((m) => m.seq > mark && !m.isOwn && !m.deleted);
  }
}

function unsent(entry: OutboxEntry, user: string, name: string): Message {
  const { id, room: _, user: __, ...kept } = entry.kept;
  return {
    ...blank, ...kept,
    key: id,
    seq: entry.seq,
    author: { user, name, kind: 'human' },
    isOwn: true,
    status: entry.status.value,
    outgoing: entry,
  };
}
