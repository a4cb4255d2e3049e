import { BotSession } from './bots';
import type { BotRoom } from './bots';
import type { ChatSession } from './chat';
import type { Computed, Value } from './readable';
import { Threads } from './threads';
import type { ThreadRoom } from './threads';
import type { Envelope, Joined } from './wire';

/** The room, as its extras see it. */
export interface ExtrasRoom extends ThreadRoom, BotRoom {
  readonly bots: Value<BotSession | null>;
}

/**
 * What not every room has: threads and bots. It comes with the first of them, later than the client, and imports
 * nothing of it: the classes that it needs are handed to it.
 */
export class Extras {
  readonly threads: Threads;
  readonly bots: BotSession;
  readonly #room: ExtrasRoom;

  /** `kept` is what has come since the first of them was heard of. */
  constructor(room: ExtrasRoom, Chat: typeof ChatSession, Live: typeof Value, Cell: typeof Computed, kept: Envelope[]) {
    this.#room = room;
    this.threads = new Threads(room, Chat, Live);
    this.bots = new BotSession(room, Cell);
    for (const envelope of kept.splice(0)) this.receive(envelope);
  }

  /** Everything that comes for the room, in order, after the room itself. */
  receive(envelope: Envelope): void {
    // After the timelines: a message and the end of its run are seen at once.
    this.threads.receive(envelope);
    this.bots.receive(envelope);
    if (envelope.type === 'joined' && (envelope.data as Joined).bots[0]) this.#room.bots.set(this.bots);
  }
}
