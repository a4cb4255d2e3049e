import type { Value } from '../readable';
import type { ParticipantView } from '../roster';
import type { CallStats, LocalMedia, Participant, Readable, RoomInfo } from '../types';
import type { Envelope, Grants, MediaMode, MediaSetup, Signal, Source } from '../wire';
import { Feed } from './feed';
import type { Levels } from './level';
import { playbackOf } from './local';
import { Peer, type PeerHost } from './peer';
import type { Sfu } from './sfu';
import { SignalQueue } from './signals';

/** What a call needs of its room. */
export interface CallRoom {
  readonly self: Readable<Participant>;
  readonly participants: Readable<readonly ParticipantView[]>;
  readonly info: Readable<RoomInfo>;
  readonly grants: Readable<Grants>;
  readonly media: LocalMedia;
  readonly speakers: Value<readonly Participant[]>;
  readonly lowBandwidth: Readable<boolean>;
  /** Resolves when the server has taken it. */
  signal(to: string, signal: Signal): Promise<unknown>;
  /** Repeated through connection losses. */
  request<T>(type: string, data: unknown): Promise<Envelope<T>>;
}

const sources: readonly Source[] = ['microphone', 'camera', 'screen', 'screen-audio'];

/**
 * Our part in a room's call. A few people connect with each other directly, which needs no server for media: that is
 * here. What goes through the server's SFU, the change from the one to the other, and TURN servers whose credentials
 * expire are Sfu's, which is loaded where the server has any of it.
 */
export class Call implements PeerHost {
  readonly room: CallRoom;
  /** The others, by id. */
  readonly others = new Map<string, ParticipantView>();
  setup: MediaSetup = { mode: 'mesh', iceServers: [] };
  /** Our participant id. */
  self = '';
  sfu: Sfu | null = null;
  readonly #signals: SignalQueue;
  readonly #stopFeeds: () => void;
  #loading = false;
  #levels: Levels | null = null;
  #closed = false;

  constructor(room: CallRoom) {
    this.room = room;
    this.#signals = new SignalQueue((to, signal) => room.signal(to, signal).catch((error: unknown) => {
      if (to === 'sfu') this.sfu?.refused(signal, error);
      throw error;
    }));
    this.#stopFeeds = room.media.feeds.subscribe(() => this.#update());
  }

  /** Whole each time: what is left out of setConfiguration would be a change back to the default, which it refuses. */
  get configuration(): RTCConfiguration { return { iceServers: this.setup.iceServers, bundlePolicy: 'max-bundle' }; }

  get mode(): MediaMode { return this.room.info.value.mode; }

  mayPublish(source: Source): boolean { return this.room.grants.value.publish.includes(source); }

  /** What a `joined` says of media. */
  configure(setup: MediaSetup): void {
    this.setup = setup;
    if (setup.sfu || setup.ttl) this.#load();
    // What we may publish can have changed too.
    this.#update();
  }

  /** People came or went, or the room's media flows in another way. */
  sync(): void {
    const { self, participants } = this.room;
    const { id } = self.value;
    const present = new Set(participants.value);
    // Another id of ours is another participant for the others: nothing of before goes on.
    if (id !== this.self) {
      this.sfu?.reset();
      present.clear();
    }
    for (const view of [...this.others.values()]) if (!present.has(view)) this.#drop(view);
    this.self = id;
    for (const view of participants.value) {
      if (view.isSelf) continue;
      this.others.set(view.id, view);
      if (this.mode === 'mesh' && view.kind === 'human') view.peer ??= this.#pair(view);
    }
    if (this.mode === 'sfu') this.#load();
    this.sfu?.sync();
  }

  receive({ type, from = '', data }: Envelope): void {
    const view = this.others.get(from);
    if (type === 'webrtc-signal' && view?.peer && !(data as Signal).ready) view.peer.signal(data as Signal);
    else this.sfu?.receive(type, data, view);
  }

  send(to: string, signal: Signal): void {
    this.#signals.push(to, signal);
  }

  /** The connection is gone: signals wait. */
  suspend(): void {
    this.#signals.pause();
  }

  /** In the room, at first or again. */
  resume(): void {
    this.#signals.resume();
    for (const { peer } of this.others.values()) peer?.resume();
    this.sfu?.resume();
    import('./level').then(({ Levels }) => {
      if (!this.#closed) this.#levels ??= new Levels(this);
    }, () => undefined);
  }

  /** What we send for each source now, null for those that are off. A screen's section stays for the next share. */
  tracks(): ReadonlyMap<Source, MediaStreamTrack | null> {
    const tracks = new Map<Source, MediaStreamTrack | null>(sources.map((source) => [source, null]));
    for (const { source, track } of this.room.media.feeds.value) if (this.mayPublish(source)) tracks.set(source, track);
    return tracks;
  }

  received(from: string, source: Source, track: MediaStreamTrack | null): void {
    const view = this.others.get(from);
    if (!view) return;
    if (this.sfu) this.sfu.choose(view, source);
    else this.show(view, source, track);
  }

  unreachable(): void {
    this.sfu?.unreachable();
  }

  /** What is seen and heard of one source from now on. */
  show(view: ParticipantView, source: Source, track: MediaStreamTrack | null): void {
    const feed = view.remote.get(source);
    if (feed && track) feed.replace(track);
    else {
      feed?.close();
      view.setFeed(source, track && new Feed(track, source, view.id, playbackOf(this.room.media)));
    }
  }

  async stats(): Promise<CallStats> {
    // Few ever ask: loaded with the first reading.
    return (await import('./stats')).statsOf(this);
  }

  close(): void {
    this.#closed = true;
    this.#levels?.close();
    this.#signals.pause();
    this.#stopFeeds();
    this.sfu?.close();
    for (const view of this.others.values()) this.#drop(view);
  }

  /** Our tracks, or what we may send, have changed. */
  #update(): void {
    for (const { peer } of this.others.values()) peer?.update();
    this.sfu?.update();
  }

  #load(): void {
    if (this.#loading) return;
    this.#loading = true;
    import('./sfu').then(({ Sfu }) => {
      if (this.#closed) return;
      this.sfu = new Sfu(this);
      this.sfu.sync();
    }, () => {
      // A network that comes and goes: the next change in the room tries again.
      this.#loading = false;
    });
  }

  #pair(view: ParticipantView): Peer {
    const peer = new Peer(this, view.id);
    // By the SFU all have the link of the one path.
    peer.link.subscribe((link) => { if (this.mode === 'mesh') view.link.set(link); });
    return peer;
  }

  #drop(view: ParticipantView): void {
    this.others.delete(view.id);
    view.peer?.close();
    view.peer = null;
    for (const source of sources) this.show(view, source, null);
    this.#signals.forget(view.id);
  }
}
