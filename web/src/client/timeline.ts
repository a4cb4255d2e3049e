import type { Message } from './types';
import type { Author, Chat, Delete, Edit, Envelope, Reaction } from './wire';

/** Messages kept in memory; older ones are dropped from the front and can be loaded again. */
export const maxMessages = 5_000;
export interface TimelineOwner {
  /** Our own user, to mark own messages. */
  user(): string;
  /** The key that the view already has for our message `id`, null when it has none. */
  keyOf(id: string | undefined, seq: number): string | null;
}

/**
 * One timeline's log folded into messages: edits, deletions and reactions are applied to what they
 * name, in log order. Folding the same record twice changes nothing. A change to a message that is not
 * loaded needs no keeping: pages of history hold messages as they stand when they are asked for.
 */
export class Timeline {
  readonly #owner: TimelineOwner;
  #messages: Message[] = [];
  #index = new Map<number, Message>();
  more = false;

  constructor(owner: TimelineOwner) {
    this.#owner = owner;
  }

  get messages(): readonly Message[] { return this.#messages; }
  get(seq: number): Message | undefined { return this.#index.get(seq); }
  get first(): number { return this.#messages[0]?.seq ?? 0; }
  get last(): number { return this.#messages.at(-1)?.seq ?? 0; }

  reset(records: readonly Envelope[], more: boolean): void {
    this.#messages = [];
    this.#index.clear();
    for (const record of records) this.apply(record);
    this.more = more;
  }

  /** Applies one logged record; returns the message when it was a new one. */
  apply(record: Envelope): Message | null {
    switch (record.type) {
      case 'chat': return this.#insert(record);
      case 'edit': {
        const { message, text } = record.data as Edit;
        this.#change(message, (m) => (m.deleted ? m : { ...m, text, edited: record.ts ?? m.at }));
        return null;
      }
      case 'delete':
        this.#change((record.data as Delete).message, (m) => ({ ...m, text: '', deleted: true, reactions: {}, mentions: [] }));
        return null;
      case 'reaction': {
        const { message, emoji, on } = record.data as Reaction;
        this.#change(message, (m) => react(m, emoji, record.author?.user ?? '', on));
        return null;
      }
      case 'clear':
        this.reset([], false);
        return null;
      default: return null;
    }
  }

  /** Puts an older page before what is there. */
  prepend(records: readonly Envelope[], more: boolean): void {
    const present = this.#messages;
    this.#messages = [];
    for (const record of records) this.apply(record);
    this.#messages = this.#messages.concat(present);
    this.more = more;
  }

  #insert(record: Envelope): Message | null {
    const message = toMessage(record, this.#owner);
    if (this.#index.has(message.seq)) return null;
    this.#index.set(message.seq, message);
    this.#messages.push(message);
    if (this.#messages.length > maxMessages) {
      for (const old of this.#messages.splice(0, this.#messages.length - maxMessages)) this.#index.delete(old.seq);
      this.more = true;
    }
    return message;
  }

  #change(seq: number, change: (message: Message) => Message): void {
    const present = this.#index.get(seq);
    if (!present) return;
    const next = change(present);
    if (next === present) return;
    this.#index.set(seq, next);
    const i = this.#messages.lastIndexOf(present);
    if (i >= 0) this.#messages[i] = next;
  }
}

function react(m: Message, emoji: string, user: string, on: boolean): Message {
  const users = m.reactions[emoji] ?? [];
  if (m.deleted || users.includes(user) === on) return m;
  const next = on ? [...users, user] : users.filter((u) => u !== user);
  const { [emoji]: _, ...others } = m.reactions;
  // An emoji that is there keeps its place; one that nobody uses any more goes.
  if (next.length === 0) return { ...m, reactions: others };
  return { ...m, reactions: { ...m.reactions, [emoji]: next } };
}

const nobody: Author = { user: '', name: '', kind: 'human' };

/** A message of which nothing is known yet. */
export const blank = {
  edited: null, deleted: false, replyTo: 0, mentions: [], reactions: {}, status: 'sent', outgoing: null,
} as const satisfies Partial<Message>;

function toMessage(record: Envelope, owner: TimelineOwner): Message {
  const { text = '', ...data } = (record.data ?? {}) as Chat;
  const author = record.author ?? nobody;
  const seq = record.seq ?? 0;
  const isOwn = author.user === owner.user();
  return {
    ...blank, ...data, text, seq, author, isOwn,
    key: (isOwn ? owner.keyOf(record.id, seq) : data.run?.run) ?? String(seq),
    at: record.ts ?? 0,
  };
}
