import type { ActiveSpeakers, MediaMode, MediaQuality, PublishMedia, Signal, Source } from '../wire';
import { Attention } from './attention';
import type { ParticipantView } from '../roster';
import type { Call } from './call';
import { isVideo } from './encodings';
import type { Feed } from './feed';
import { Relays } from './relays';
import { keyOf, SfuPeer } from './sfu-peer';

const sources: readonly Source[] = ['microphone', 'camera', 'screen', 'screen-audio'];
/** While the media of a room changes its way, it is looked this often whether the new one carries anything. */
const lookEveryMs = 100;
/** The old way ends this long after the change at the latest. */
const changeMs = 10_000;

/** Whether something flows, found by comparing what has come with what had come at the first look. */
interface Probe {
  readonly receiver: RTCRtpReceiver;
  /** Frames decoded, of sound packets received; null before the first look. */
  first: number | null;
  flows: boolean;
}

/**
 * The part of a call that goes through the SFU, and the change between it and connections from browser to browser. It is
 * loaded where the server has an SFU.
 *
 * A change is make-before-break. The new way is built while the old one goes on; of each source the new track takes the
 * place of the old one, in the same feed, when something has come by it. Who has all of another participant by the
 * new way tells that one (`ready`). What two have between them ends when both have said so; the connection with the
 * SFU when that is so with everyone.
 */
export class Sfu {
  /** The connection with the SFU, if there is one. */
  peer: SfuPeer | null = null;
  readonly #call: Call;
  readonly #relays: Relays;
  readonly #attention: Attention;
  #mode: MediaMode = 'mesh';
  /** We have asked for the SFU. */
  #asked = false;
  readonly #probes = new Map<string, Probe>();
  /** Those with whom the old way is not over. */
  readonly #changing = new Set<ParticipantView>();
  readonly #told = new Set<ParticipantView>();
  readonly #heard = new Set<ParticipantView>();
  /** By participant and source: it may come before its track. */
  readonly #qualities = new Map<string, MediaQuality>();
  #looks: ReturnType<typeof setInterval> | undefined;
  #deadline: ReturnType<typeof setTimeout> | undefined;

  constructor(call: Call) {
    this.#call = call;
    this.#relays = new Relays(call);
    this.#attention = new Attention((message) => call.room.request('subscribe-media', message), call.room.lowBandwidth);
  }

  /** People came or went, or the room's media has changed its way. */
  sync(): void {
    const { mode, others } = this.#call;
    this.#relays.follow();
    if (mode !== this.#mode) this.#change(mode);
    if (mode === 'sfu') this.peer ??= this.#connect();
    for (const view of this.#changing) if (others.get(view.id) !== view) this.#changing.delete(view);
    this.#chooseAll();
    this.#finish();
  }

  /** We are another participant now: nothing of before goes on. */
  reset(): void {
    this.#changing.clear();
    this.#disconnect();
    this.#settle();
    this.#mode = 'mesh';
  }

  receive(type: string, data: unknown, from: ParticipantView | undefined): void {
    switch (type) {
      case 'webrtc-signal':
        if (from) this.#hear(from, data as Signal);
        else this.peer?.signal(data as Signal);
        break;
      case 'publish-media': this.peer?.publish(data as PublishMedia); break;
      case 'media-quality': this.#rate(data as MediaQuality); break;
      case 'active-speakers': this.#rank(data as ActiveSpeakers); break;
      default:
    }
  }

  /** A signal of ours was not taken. */
  refused(signal: Signal, error: unknown): void {
    const { code = '', retryable = false } = error as { code?: string; retryable?: boolean };
    if (!retryable) this.peer?.refused(signal, code);
  }

  /** A participant cannot be reached from browser to browser: the room is to use the SFU. */
  unreachable(): void {
    if (this.#asked || this.#mode === 'sfu') return;
    this.#asked = true;
    this.#call.room.request('media-mode', { mode: 'sfu', reason: 'unreachable' }).catch(() => { this.#asked = false; });
  }

  update(): void {
    this.peer?.update();
  }

  resume(): void {
    this.peer?.resume();
  }

  /** What the source that is shown comes by. */
  receiverOf(view: ParticipantView, source: Source): RTCRtpReceiver | undefined {
    const receiver = this.peer?.receiverOf(view.id, source);
    return receiver && receiver.track === view.remote.get(source)?.track ? receiver : undefined;
  }

  /** Shows the track of the way that is in force as soon as it carries something, until then what there is. */
  choose(view: ParticipantView, source: Source): void {
    const [next, old] = this.#receivers(view, source);
    const shown = view.remote.get(source)?.track;
    if (next && next.track !== shown && old && old.track === shown && !this.#flows(view, source, next)) return;
    this.#call.show(view, source, (next ?? old)?.track ?? null);
  }

  close(): void {
    this.reset();
    this.#attention.close();
    this.#relays.close();
  }

  /* ------------------------------------------------ the connection with the SFU */

  #connect(): SfuPeer {
    return new SfuPeer(this.#call, { changed: () => this.#chooseAll(), begun: () => this.#attention.forget() });
  }

  #disconnect(): void {
    const peer = this.peer;
    if (!peer) return;
    this.peer = null;
    this.#qualities.clear();
    for (const { remote } of this.#call.others.values()) for (const feed of remote.values()) feed.quality.set(null);
    // First the feeds change over, so that none of them sees its track end.
    this.#chooseAll();
    peer.close();
  }

  /** Brings all feeds and links in step with what comes. */
  #chooseAll(): void {
    const watched = new Set<Feed>();
    for (const view of this.#call.others.values()) {
      let comes = false;
      for (const source of sources) {
        this.choose(view, source);
        const feed = view.remote.get(source);
        if (!feed || !this.peer?.receiverOf(view.id, source)) continue;
        comes = true;
        if (isVideo(source)) watched.add(feed);
      }
      // As long as there is a pair too it has the link that it had.
      if (this.#mode === 'sfu' && !view.peer) view.link.set(comes && this.peer ? this.peer.link.value : 'none');
    }
    this.#attention.watch(watched);
  }

  #rate(quality: MediaQuality): void {
    const { participant, source, width, height, fps, bitrate, codec = '', layer = '', reason } = quality;
    this.#qualities.set(keyOf(participant, source), quality);
    this.#call.others.get(participant)?.remote.get(source)?.quality.set({ width, height, fps, bitrate, codec, layer, reason });
  }

  #rank({ speakers }: ActiveSpeakers): void {
    if (this.#mode !== 'sfu') return;
    const { room } = this.#call;
    room.speakers.set(speakers.flatMap(({ participant }) => room.participants.value.filter(({ id }) => id === participant)));
  }

  /* ------------------------------------------------ the change */

  #change(mode: MediaMode): void {
    this.#mode = mode;
    this.#settle();
    for (const view of this.#call.others.values()) {
      if (mode === 'mesh' ? this.peer && view.peer : view.peer && this.#carries(view)) this.#changing.add(view);
      else if (mode === 'sfu') this.#unpair(view);
    }
    if (this.#changing.size === 0) return;
    this.#looks = setInterval(() => void this.#look(), lookEveryMs);
    this.#deadline = setTimeout(() => {
      for (const view of this.#changing) this.#end(view);
      this.#finish();
    }, changeMs);
  }

  /** A pair that never came up, or is down for good, has nothing to lose. */
  #carries({ peer }: ParticipantView): boolean {
    return peer?.link.value === 'connected' || peer?.link.value === 'interrupted';
  }

  /** What belongs to one change alone. */
  #settle(): void {
    clearInterval(this.#looks);
    clearTimeout(this.#deadline);
    for (const one of [this.#probes, this.#changing, this.#told, this.#heard]) one.clear();
  }

  /** Of the way in force and of the other one. */
  #receivers({ id, peer }: ParticipantView, source: Source): readonly [RTCRtpReceiver | undefined, RTCRtpReceiver | undefined] {
    const pair = peer?.receiverOf(source);
    const sfu = this.peer?.receiverOf(id, source);
    return this.#mode === 'sfu' ? [sfu, pair] : [pair, sfu];
  }

  #flows({ id }: ParticipantView, source: Source, receiver: RTCRtpReceiver): boolean {
    const key = keyOf(id, source);
    let probe = this.#probes.get(key);
    if (probe?.receiver !== receiver) this.#probes.set(key, (probe = { receiver, first: null, flows: false }));
    return probe.flows;
  }

  async #look(): Promise<void> {
    await Promise.all([...this.#probes.values()].map(async (probe) => {
      const count = await countOf(probe.receiver);
      probe.flows ||= probe.first !== null && count > probe.first;
      probe.first ??= count;
    }));
    this.#chooseAll();
    this.#finish();
  }

  /** Tells those whom we have by the new way, and ends the old one with those who have us too. */
  #finish(): void {
    for (const view of this.#changing) {
      if (!this.#told.has(view) && this.#has(view)) {
        this.#told.add(view);
        // Between browsers the generation says which connection it is; there is none by the SFU.
        this.#call.send(view.id, { ready: true, generation: this.#mode === 'mesh' ? view.peer?.generation : 0 });
      }
      if (this.#told.has(view) && this.#heard.has(view)) this.#end(view);
    }
    if (this.#changing.size > 0) return;
    this.#settle();
    if (this.#mode === 'mesh') this.#disconnect();
  }

  /** Whether all that a participant sends comes by the new way. */
  #has(view: ParticipantView): boolean {
    const link = this.#mode === 'sfu' ? this.peer?.link : view.peer?.link;
    return link?.value === 'connected' && sources.every((source) => {
      const [next] = this.#receivers(view, source);
      return (next && next.track === view.remote.get(source)?.track) || !this.#expects(view, source, next !== undefined);
    });
  }

  #expects({ id, media }: ParticipantView, source: Source, announced: boolean): boolean {
    const { microphone, camera, screen } = media.value;
    if (source === 'microphone') return microphone;
    // Nobody says whether a screen has sound.
    if (source === 'screen-audio') return screen && announced;
    return (source === 'camera' ? camera : screen) && this.#attention.wants(id, source);
  }

  #hear(from: ParticipantView, { ready, generation }: Signal): void {
    if (!ready || (generation ? 'mesh' : 'sfu') !== this.#mode) return;
    this.#heard.add(from);
    this.#finish();
  }

  #end(view: ParticipantView): void {
    this.#changing.delete(view);
    if (this.#mode === 'sfu') this.#unpair(view);
  }

  #unpair(view: ParticipantView): void {
    const { peer } = view;
    view.peer = null;
    this.#chooseAll();
    peer?.close();
  }
}

/** 0 also for one whose connection has been closed. */
async function countOf(receiver: RTCRtpReceiver): Promise<number> {
  let count = 0;
  (await receiver.getStats().catch(() => [])).forEach(({ type, framesDecoded, packetsReceived }: Flow) => {
    if (type === 'inbound-rtp') count += framesDecoded ?? packetsReceived ?? 0;
  });
  return count;
}

interface Flow { type: string; framesDecoded?: number; packetsReceived?: number }
