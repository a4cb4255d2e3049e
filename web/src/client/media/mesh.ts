import type { ParticipantView } from '../roster';
import type { CallStats, LocalMedia } from '../types';
import type { MediaMode, Signal, Source } from '../wire';
import { Feed } from './feed';
import { levelEveryMs, loudness, SpeechDetector } from './level';
import { playbackOf } from './local';
import { Peer } from './peer';
import { SignalQueue } from './signals';
import type { Reading } from './stats';

export interface MeshOptions {
  media: LocalMedia;
  /** Resolves when the server has relayed it. */
  send(to: string, signal: Signal): Promise<unknown>;
  mayPublish(source: Source): boolean;
}

const sources: readonly Source[] = ['microphone', 'camera', 'screen', 'screen-audio'];

interface Leg {
  peer: Peer;
  view: ParticipantView;
  feeds: Map<Source, Feed>;
  speech: SpeechDetector;
  reading: Reading | null;
}

/** Every participant's own connection to every other: calls of a few people need no server for media. */
export class Mesh {
  readonly #o: MeshOptions;
  readonly #legs = new Map<string, Leg>();
  #ownSpeech: SpeechDetector | null = null;
  readonly #signals: SignalQueue;
  readonly #stopFeeds: () => void;
  #iceServers: RTCIceServer[] = [];
  #self = '';
  #meter: ReturnType<typeof setInterval> | undefined;

  constructor(options: MeshOptions) {
    this.#o = options;
    this.#signals = new SignalQueue(options.send);
    this.#stopFeeds = options.media.feeds.subscribe(() => {
      for (const { peer } of this.#legs.values()) peer.update();
    });
  }

  configure(iceServers: RTCIceServer[]): void {
    this.#iceServers = iceServers;
    // What we may publish can have changed too.
    for (const { peer } of this.#legs.values()) peer.update();
  }

  /** Makes the legs those of the people in the room. */
  sync(self: string, participants: readonly ParticipantView[], mode: MediaMode): void {
    // Another id of ours is another participant for the others: nothing of before goes on.
    if (self !== this.#self) {
      for (const id of [...this.#legs.keys()]) this.#drop(id);
      this.#ownSpeech = null;
    }
    this.#self = self;
    const present = new Map<string, ParticipantView>();
    for (const p of participants) {
      if (p.isSelf) this.#ownSpeech ??= new SpeechDetector(p.speaking);
      else if (p.kind === 'human' && mode === 'mesh') present.set(p.id, p);
    }
    for (const [id, leg] of [...this.#legs]) if (present.get(id) !== leg.view) this.#drop(id);
    for (const view of present.values()) if (!this.#legs.has(view.id)) this.#add(view);
    if (this.#meter === undefined) this.#meter = setInterval(() => this.#measure(), levelEveryMs);
  }

  signal(from: ParticipantView, signal: Signal): void {
    this.#legs.get(from.id)?.peer.signal(signal);
  }

  /** The connection is gone: signals wait. */
  suspend(): void {
    this.#signals.pause();
  }

  /** In the room, at first or again. */
  resume(): void {
    this.#signals.resume();
    for (const { peer } of this.#legs.values()) peer.resume();
  }

  async stats(): Promise<CallStats> {
    // Few ever ask: loaded with the first reading.
    const { readStats } = await import('./stats');
    const at = Date.now();
    const peers = await Promise.all([...this.#legs.values()].map(async (leg) => {
      const { stats, reading } = await readStats(leg.view.id, leg.peer, leg.reading, at);
      leg.reading = reading;
      return stats;
    }));
    return { at, peers };
  }

  close(): void {
    clearInterval(this.#meter);
    this.#signals.pause();
    this.#stopFeeds();
    for (const id of [...this.#legs.keys()]) this.#drop(id);
  }

  #add(view: ParticipantView): void {
    const feeds = new Map<Source, Feed>();
    const playback = playbackOf(this.#o.media);
    const peer = new Peer({
      self: this.#self,
      remote: view.id,
      configuration: () => ({ iceServers: this.#iceServers }),
      send: (signal) => this.#signals.push(view.id, signal),
      tracks: () => this.#tracks(),
      received: (source, track) => {
        feeds.get(source)?.close();
        feeds.delete(source);
        const feed = track ? new Feed(track, source, view.id, playback) : null;
        if (feed) feeds.set(source, feed);
        view.setFeed(source, feed);
      },
    });
    peer.link.subscribe((link) => view.link.set(link));
    this.#legs.set(view.id, { peer, view, feeds, speech: new SpeechDetector(view.speaking), reading: null });
  }

  #drop(id: string): void {
    const leg = this.#legs.get(id);
    leg?.peer.close();
    leg?.view.setLevel(0);
    leg?.view.speaking.set(false);
    this.#signals.forget(id);
    this.#legs.delete(id);
  }

  #tracks(): ReadonlyMap<Source, MediaStreamTrack | null> {
    // A screen section stays when the share ends, with nothing in it, for the next one.
    const tracks = new Map<Source, MediaStreamTrack | null>(sources.map((source) => [source, null]));
    for (const feed of this.#o.media.feeds.value) if (this.#o.mayPublish(feed.source)) tracks.set(feed.source, feed.track);
    return tracks;
  }

  #measure(): void {
    const now = Date.now();
    const { microphone, level } = this.#o.media;
    this.#ownSpeech?.update(microphone.value.on ? level.value : 0, now);
    for (const { peer, view, speech } of this.#legs.values()) {
      // Read from the RTP header extension or the decoder (W3C WebRTC 5.3, RFC 6464): no audio graph needed.
      const [source] = peer.receiverOf('microphone')?.getSynchronizationSources?.() ?? [];
      const recent = source !== undefined && view.media.value.microphone;
      const heard = recent ? loudness(source.audioLevel ?? 0) : 0;
      view.setLevel(heard);
      speech.update(heard, now);
    }
  }
}
