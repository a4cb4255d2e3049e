import type { BotSession } from './bots';
import { ChatSession } from './chat';
import type { Connection } from './connection';
import { ClientError, passing } from './errors';
import type { Extras } from './extras';
import { Call } from './media/call';
import { createLocalMedia } from './media/local';
import { MediaStateSync } from './media/state';
import type { Outbox } from './outbox';
import { Computed, Emitter, until, Value } from './readable';
import { newId } from './requests';
import { fullJitter } from './retry';
import { Roster } from './roster';
import type { ParticipantView } from './roster';
import type {
  CallStats, JoinOptions, LocalMedia, ModerateTarget, Participant, Room, RoomEvents, RoomInfo, RoomState, Thread,
} from './types';
import type * as wire from './wire';

/** A request of a room is repeated through connection losses for this long, milliseconds. */
const requestTimeoutMs = 20_000;
/** A longer wait that the server asks for is the person's to know of. */
const longWaitMs = 3_000;

const wait = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms); });

/** One room, kept joined through every reconnect. */
export class RoomSession implements Room {
  readonly id: string;
  readonly state = new Value<RoomState>('rejoining');
  readonly removed = new Value<{ readonly reason: wire.RemovedReason; readonly text: string } | null>(null);
  readonly info = new Value<RoomInfo>({ title: '', locked: false, recording: false, mode: 'mesh' });
  readonly role = new Value<wire.Role>('member');
  readonly grants = new Value<wire.Grants>({ publish: [], subscribe: false, chat: false, bots: false });
  readonly self = new Value<Participant>(null as never);
  readonly speakers = new Value<readonly Participant[]>([]);
  readonly lowBandwidth = new Value(false);
  readonly bots = new Value<BotSession | null>(null);
  readonly threads = new Value<readonly wire.ThreadSummary[]>([]);
  readonly roster: Roster;
  readonly chat: ChatSession;
  readonly media: LocalMedia;
  readonly outbox: Outbox;

  readonly #connection: Connection;
  readonly #events = new Emitter<RoomEvents>();
  readonly #call: Call | null;
  readonly #mediaState: MediaStateSync;
  readonly #ownMedia: boolean;
  readonly #ended: (room: RoomSession) => void;
  readonly #knock?: boolean;
  /** Whether `joined` has come on the present connection. */
  isJoined = false;
  everJoined = false;
  /** What join() gave to the first who asked. */
  joined!: Promise<Room>;
  /** Why the server did not let us in. */
  refusal: ClientError | null = null;
  /** What knows threads and bots, and who is told what comes, from when there are some. */
  #extras?: Promise<Extras | undefined>;
  #sink?: Extras;
  readonly #kept: wire.Envelope[] = [];

  /** `ended` is told once, when the room was left or taken away. */
  constructor(id: string, connection: Connection, outbox: Outbox, options: JoinOptions, ended: (room: RoomSession) => void) {
    this.id = id;
    this.#connection = connection;
    this.outbox = outbox;
    this.#ended = ended;
    this.#knock = options.knock;
    this.#ownMedia = !options.media;
    this.media = options.media ?? createLocalMedia();
    this.roster = new Roster(this.media, (view) => this.#participantLeft(view));
    this.chat = new ChatSession(this);
    this.#call = options.call ?? globalThis.RTCPeerConnection ? new Call(this) : null;
    this.#mediaState = new MediaStateSync(this.media, (state) => this.request('media-state', state));
  }

  get participants() { return this.roster.participants; }
  get people() { return this.roster.people; }
  get inCall(): boolean { return this.#call !== null; }

  on<K extends keyof RoomEvents>(name: K, fn: (event: RoomEvents[K]) => void): () => void {
    return this.#events.on(name, fn);
  }

  user(): { id: string; name: string } {
    return this.#connection.user.value ?? { id: '', name: '' };
  }

  setHand(up: boolean): void {
    this.#mediaState.setHand(up);
  }

  setLowBandwidth(on: boolean): void {
    this.lowBandwidth.set(on);
  }

  async moderate(action: wire.ModerateAction, target: ModerateTarget = {}): Promise<void> {
    await this.request('moderate', { action, ...target } satisfies wire.Moderate);
  }

  async stats(): Promise<CallStats> {
    return this.#call?.stats() ?? { at: Date.now(), peers: [] };
  }

  async leave(): Promise<void> {
    if (!this.#active()) return;
    const told = this.#connection.request('leave', {}, { room: this.id, timeoutMs: 3_000 }).catch(() => undefined);
    this.#end('left');
    await told;
  }

  /** Ends without telling the server. */
  drop(): void {
    this.#end('left');
  }

  signal(to: string, signal: wire.Signal): Promise<unknown> {
    return this.#connection.request('webrtc-signal', signal, { room: this.id, to });
  }

  async request<T>(type: string, data: unknown, room = this.id): Promise<wire.Envelope<T>> {
    const id = newId();
    const end = Date.now() + requestTimeoutMs;
    for (let attempt = 1; ; attempt++) {
      await this.#whenJoined(end - Date.now());
      try {
        return await this.#connection.request<T>(type, data, { room, id });
      } catch (thrown) {
        const error = ClientError.from(thrown);
        const delay = error.retryAfterMs ?? fullJitter({ attempt });
        if (!passing.has(error.code) || Number(error.retryAfterMs) > longWaitMs || Date.now() + delay >= end) throw error;
        await wait(delay);
      }
    }
  }

  tell(type: string, data: unknown, room = this.id): void {
    if (this.isJoined) this.#connection.send(type, data, { room });
  }

  async thread(name: string | { readonly private: string }): Promise<Thread> {
    const extras = await this.#load();
    if (!extras) throw new ClientError('network');
    return extras.threads.open(name);
  }

  /** What comes meanwhile is kept for it, in order. Resolves with undefined when it does not come: what needs it next tries again. */
  #load(): Promise<Extras | undefined> {
    return this.#extras ??= import('./extras').then(({ Extras }) => this.#sink = new Extras(this, ChatSession, Value, Computed, this.#kept),
      () => this.#extras = undefined);
  }

  /** The connection is gone; everything stays as it is until it is back. */
  suspend(): void {
    this.isJoined = false;
    this.chat.asking = false;
    this.#call?.suspend();
    if (this.state.value === 'joined') this.state.set('rejoining');
  }

  async catchUp(): Promise<boolean> {
    await this.enter();
    return this.isJoined;
  }

  /** Joins, at first or again, until the connection is lost or the server refuses for good. */
  async enter(): Promise<void> {
    if (this.chat.asking || !this.#active()) return;
    this.chat.asking = true;
    const knock = this.#knock && !this.everJoined;
    try {
      // The answer itself is handled in receive(): in order with the frames that follow it.
      // One who knocks waits for a person; the server ends that first.
      const { type, data } = await this.#connection.request<wire.Removed>('join', { since: this.chat.cursor, knock } satisfies wire.Join,
        { room: this.id, timeoutMs: knock ? 1e6 : undefined });
      if (type === 'removed') throw new ClientError((data as wire.Removed).reason);
    } catch (thrown) {
      const error = ClientError.from(thrown);
      // After a connection loss the next connection brings us here again.
      this.chat.asking = false;
      if (error.code === 'network' || error.code === 'closed' || !this.#active()) return;
      if (!error.retryable || (knock && error.code === 'timeout') || (!this.everJoined && error.code === 'room-full')) {
        this.#refused(error);
        return;
      }
      await wait(error.retryAfterMs ?? fullJitter({ attempt: 3 }));
      if (this.#connection.state.value === 'online') await this.enter();
    }
  }

  receive(envelope: wire.Envelope): void {
    if (envelope.type === 'joined') {
      if (this.#active()) this.#joined(envelope as wire.Envelope<wire.Joined>);
    } else if (this.isJoined && !envelope.thread) {
      if (!envelope.seq) this.#state(envelope);
      const message = envelope.seq && this.chat.logged(envelope);
      if (message) this.#events.emit('message', message);
    }
    if (this.#sink) this.#sink.receive(envelope);
    else if (this.#extras) this.#kept.push(envelope);
  }

  #active(): boolean {
    return this.state.value === 'joined' || this.state.value === 'rejoining';
  }

  async #whenJoined(timeoutMs: number): Promise<void> {
    const state = await until(this.state, (s) => s !== 'rejoining', { timeoutMs: Math.max(timeoutMs, 0) });
    if (state !== 'joined') throw new ClientError('closed');
  }

  /* ------------------------------------------------ what the server says */

  #joined(envelope: wire.Envelope<wire.Joined>): void {
    const body = envelope.data as wire.Joined;
    const first = !this.everJoined;
    const resync = this.isJoined;
    const known = new Set(this.participants.value);
    this.everJoined = true;
    this.isJoined = true;
    this.role.set(body.role);
    this.grants.set(body.grants);
    this.info.patch({ ...body.room, mode: body.media.mode });
    this.self.set(this.roster.reset(body.self, body.participants));
    this.state.set('joined');
    const missed = this.chat.joined(envelope, body, first);
    for (const message of missed) this.#events.emit('message', message);
    if (!first) {
      for (const view of this.participants.value) if (!known.has(view)) this.#events.emit('participant-joined', view);
    }
    if (body.bots[0] ?? body.threads[0]) void this.#load();
    this.#call?.configure(body.media);
    this.#syncCall();
    if (!resync) this.#call?.resume();
    if (!first && !resync) this.#events.emit('resumed', { recovered: body.recovered });
    this.#mediaState.joined(body.self.media);
    this.outbox.pump(this.id);
  }

  #state(envelope: wire.Envelope): void {
    const from = this.roster.get(envelope.from);
    switch (envelope.type) {
      case 'presence': this.#presence(envelope.data as wire.Presence); break;
      case 'media-state':
        if (from?.isSelf) this.#ownState(envelope.data as wire.MediaState);
        from?.setMedia(envelope.data as wire.MediaState);
        break;
      case 'typing':
        if (from) this.chat.setTypist(from.id, (envelope.data as wire.Typing).typing);
        break;
      case 'read':
        if (from) this.chat.setRead(from.user, (envelope.data as wire.Read).seq);
        break;
      case 'room': this.#roomChanged(envelope.data as wire.RoomUpdate); break;
      case 'media-mode': this.#roomChanged({ mode: (envelope.data as wire.MediaModeChange).mode }); break;
      case 'removed': this.#out(envelope.data as wire.Removed); break;
      default: this.#call?.receive(envelope);
    }
  }

  #presence({ event, participant }: wire.Presence): void {
    if (event === 'left') {
      this.roster.remove(participant.id);
    } else {
      const view = this.roster.upsert(participant);
      if (view) this.#events.emit('participant-joined', view);
      if (this.roster.get(participant.id)?.isSelf) {
        this.role.set(participant.role);
        this.#ownState(participant.media);
      }
    }
    this.#syncCall();
  }

  /** What the server says of us: a moderator may have switched something off. */
  #ownState(state: wire.MediaState): void {
    for (const source of this.#mediaState.imposed(state)) this.#events.emit('muted', { source });
  }

  #roomChanged({ threads, ...update }: wire.RoomUpdate): void {
    if (threads) void this.#load();
    // Only what changed is in it.
    this.info.patch(update);
    this.#syncCall();
  }

  #participantLeft(view: ParticipantView): void {
    this.chat.setTypist(view.id, false);
    this.#syncCall();
    this.#events.emit('participant-left', view);
  }

  #syncCall(): void {
    if (this.self.value) this.#call?.sync();
  }

  #refused(error: ClientError): void {
    this.refusal = error;
    this.#out({ reason: 'denied', text: error.message });
  }

  #out({ reason, text = '' }: wire.Removed): void {
    this.removed.set({ reason, text });
    this.#end('removed');
  }

  #end(state: 'left' | 'removed'): void {
    if (!this.#active()) return;
    this.isJoined = false;
    this.#call?.close();
    this.#mediaState.close();
    this.chat.close();
    this.roster.close();
    if (this.#ownMedia) this.media.close();
    this.state.set(state);
    this.#ended(this);
  }
}
