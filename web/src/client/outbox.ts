import { ClientError, passing } from './errors';
import { byteLength } from './link';
import { Computed, until, Value } from './readable';
import { newId } from './requests';
import { fullJitter } from './retry';
import type { ClientErrorLike, MessageStatus, Outgoing, OutboxOptions, OutboxStore, SendOptions } from './types';
import type { Ack, Envelope } from './wire';

/** The protocol's limit on the text of one message, bytes. */
export const maxTextBytes = 16_384;

/** What is kept of a message that is not stored yet. */
interface Kept {
  id: string;
  /** Of a message in a thread: `room~thread`. */
  room: string;
  text: string;
  at: number;
  /** Who wrote it; empty when it was written before the first connection. */
  user: string;
  replyTo?: number;
  mentions?: readonly string[];
}

export class OutboxEntry implements Outgoing {
  readonly kept: Kept;
  readonly bytes: number;
  readonly status = new Value<MessageStatus>('queued');
  readonly error = new Value<ClientErrorLike | null>(null);
  /** Known from the acknowledgement, 0 before. */
  seq = 0;
  tries = 0;
  readonly #outbox: Outbox;

  constructor(outbox: Outbox, kept: Kept) {
    this.#outbox = outbox;
    this.kept = kept;
    this.bytes = byteLength(kept.text);
  }

  get id(): string { return this.kept.id; }
  get room(): string { return this.kept.room; }
  get text(): string { return this.kept.text; }

  retry(): void { this.#outbox.retry(this); }
  cancel(): void { this.#outbox.cancel(this); }

  async done(): Promise<number> {
    const status = await until(this.status, (s) => s === 'sent' || s === 'failed');
    if (status === 'failed') throw this.error.value ?? new ClientError('internal');
    return this.seq;
  }

  fail(error: ClientErrorLike): void {
    this.error.set(error);
    this.status.set('failed');
  }
}

/** How the outbox reaches the server. */
export interface OutboxTransport {
  /** Whether messages of that room, or of the thread `room~thread`, can be sent at present, and how far the room's log is known. */
  room(id: string): { readonly isJoined: boolean; readonly chat: { readonly cursor: { readonly seq: number } } } | undefined;
  user(): string;
  request(type: string, data: unknown, options: { room: string; id: string }): Promise<Envelope<Ack>>;
}

/**
 * Own chat messages from the moment they are written until they are seen in the log. One message
 * of a room is on its way at a time, so that their order is the order of writing whatever fails;
 * every try bears the same id, so that a repeat is stored once.
 */
export class Outbox {
  readonly entries: Computed<readonly OutboxEntry[]>;
  readonly #entries: OutboxEntry[] = [];
  readonly #busy = new Set<string>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #transport: OutboxTransport;
  readonly #store: OutboxStore | undefined;
  readonly #maxCount: number;
  readonly #maxBytes: number;
  readonly #maxAgeMs: number;

  constructor(transport: OutboxTransport, options: OutboxOptions = {}) {
    this.#transport = transport;
    this.#store = options.store;
    this.#maxCount = options.maxCount ?? 200;
    this.#maxBytes = options.maxBytes ?? 262_144;
    this.#maxAgeMs = options.maxAgeMs ?? 86_400_000;
    for (const kept of parse(options.store)) this.#entries.push(new OutboxEntry(this, kept));
    this.entries = new Computed<readonly OutboxEntry[]>(() => [...this.#entries]);
  }

  send(room: string, text: string, options: SendOptions = {}): OutboxEntry {
    const entry = new OutboxEntry(this, {
      id: newId(), room, text, at: Date.now(), user: this.#transport.user(), ...options,
    });
    const waiting = this.#entries.reduce((sum, e) => sum + e.bytes, 0);
    if (text.trim() === '') entry.fail(new ClientError('bad-message'));
    else if (entry.bytes > maxTextBytes || this.#entries.length >= this.#maxCount || waiting + entry.bytes > this.#maxBytes) {
      entry.fail(new ClientError('too-large'));
    } else {
      this.#entries.push(entry);
      this.#changed();
      this.pump(room);
    }
    return entry;
  }

  ofRoom(room: string): OutboxEntry[] {
    return this.#entries.filter((e) => e.room === room);
  }

  /** Someone else signed in: what the earlier person wrote is not theirs to send. */
  adopt(user: string): void {
    for (const e of [...this.#entries]) {
      if (e.kept.user !== '' && e.kept.user !== user) this.#remove(e);
      else e.kept.user = user;
    }
  }

  /** The log holds the message `id` of ours at `seq`. Returns whether it was waited for. */
  stored(room: string, id: string | undefined, seq: number): string | null {
    const entry = this.#entries.find((e) => e.room === room && (e.id === id || (e.seq !== 0 && e.seq === seq)));
    if (!entry) return null;
    entry.seq = seq;
    this.#remove(entry);
    entry.status.set('sent');
    return entry.id;
  }

  /** The log of `room` is known up to `seq`: what was acknowledged below it will not come again. */
  settled(room: string, seq: number): void {
    for (const e of this.ofRoom(room)) if (e.seq !== 0 && e.seq <= seq) this.#remove(e);
  }

  retry(entry: OutboxEntry): void {
    if (entry.status.value !== 'failed' || !this.#entries.includes(entry)) return;
    entry.kept.at = Date.now();
    entry.tries = 0;
    entry.error.set(null);
    entry.status.set('queued');
    this.#changed();
    this.pump(entry.room);
  }

  cancel(entry: OutboxEntry): void {
    if (entry.status.value === 'sent') return;
    this.#remove(entry);
    entry.fail(new ClientError('cancelled'));
  }

  /** Sends the next message of `room`, if one waits and may go. */
  pump(room: string): void {
    if (this.#busy.has(room) || !this.#transport.room(room)?.isJoined) return;
    clearTimeout(this.#timers.get(room));
    for (const entry of this.ofRoom(room)) {
      if (entry.status.value !== 'queued') continue;
      if (Date.now() - entry.kept.at > this.#maxAgeMs) {
        entry.fail(new ClientError('timeout'));
        this.#changed();
        continue;
      }
      this.#busy.add(room);
      void this.#deliver(entry).finally(() => {
        this.#busy.delete(room);
        // After a failure that may pass, the timer decides when the next try is due.
        if (entry.status.value !== 'queued') this.pump(room);
      });
      return;
    }
  }

  async #deliver(entry: OutboxEntry): Promise<void> {
    entry.status.set('sending');
    this.#changed(false);
    try {
      const { text, replyTo, mentions } = entry.kept;
      const answer = await this.#transport.request('chat', { text, replyTo, mentions }, { room: entry.room, id: entry.id });
      entry.seq = answer.data?.seq ?? entry.seq;
      entry.status.set('sent');
      // A repeat of what was stored long ago: no echo will come.
      if (entry.seq !== 0) this.settled(entry.room, this.#transport.room(entry.room)?.chat.cursor.seq ?? 0);
    } catch (thrown) {
      // The echo or cancel() may have been quicker than the answer.
      if (entry.status.value !== 'sending') return;
      const error = ClientError.from(thrown);
      if (passing.has(error.code) || error.code === 'closed') this.#later(entry, error);
      else entry.fail(error);
    }
    this.#changed();
  }

  #later(entry: OutboxEntry, error: ClientError): void {
    entry.status.set('queued');
    const delay = error.retryAfterMs ?? fullJitter({ attempt: ++entry.tries });
    const { room } = entry;
    clearTimeout(this.#timers.get(room));
    this.#timers.set(room, setTimeout(() => this.pump(room), Math.max(delay, 100)));
  }

  #remove(entry: OutboxEntry): void {
    const i = this.#entries.indexOf(entry);
    if (i < 0) return;
    this.#entries.splice(i, 1);
    this.#changed();
  }

  #changed(save = true): void {
    this.entries.invalidate();
    if (!save || !this.#store) return;
    try {
      this.#store.save(JSON.stringify(this.#entries.filter((e) => e.seq === 0).map((e) => e.kept)));
    } catch {
      // A full or forbidden store costs only what a reload would have saved.
    }
  }
}

function parse(store: OutboxStore | undefined): Kept[] {
  try {
    // What is no list has no filter, and is caught too.
    return (JSON.parse(store?.load() ?? '[]') as Partial<Kept>[]).filter((k): k is Kept =>
      [k.id, k.room, k.text, k.user].every((s) => typeof s === 'string') && typeof k.at === 'number');
  } catch {
    return [];
  }
}

/** Keeps the outbox in Web Storage; sessionStorage gives each tab its own. */
export function webStorage(storage: Storage, key = 'confab.outbox'): OutboxStore {
  return { load: () => storage.getItem(key), save: (value) => storage.setItem(key, value) };
}
