import type { LinkState } from '../types';
import type { PublishMedia, Signal, Source } from '../wire';
import { encodingsOf, isVideo, preferCodecs, tune } from './encodings';
import type { PeerHost, Tracks } from './peer';
import type { Path } from './stats';

const theSfu = 'sfu';

/** A path that is `disconnected` for this long is restarted. */
const restartAfterMs = 3_000;
/** No path this long after an offer: the connection is made anew. Doubles up to a minute. */
const giveUpMs = 10_000;
const longestGiveUpMs = 60_000;
/** A peer connection that cannot offer any more is replaced after this long; doubles with each in turn. */
const remakeAfterMs = 500;

export const keyOf = (participant: string, source: Source): string => `${participant}/${source}`;

/** What the connection needs of its call. */
export interface SfuPeerHost extends Pick<PeerHost, 'self' | 'configuration' | 'send' | 'tracks'> {
  mayPublish(source: Source): boolean;
}

export interface SfuPeerEvents {
  /** What comes, or the state of the path, is another one now. */
  changed(): void;
  /** The SFU has answered a new peer connection. */
  begun(): void;
}

/**
 * The one connection with the SFU, for both directions: perfect negotiation (W3C WebRTC 10.7) of which we are the polite
 * side. We always make the first offer; what we send has media sections of ours, microphone and camera at once, so
 * that switching them on, off or to another device needs no negotiation. What comes has sections of the SFU's, which it
 * uses again for other tracks: only the `tracks` of its newest description says what they carry.
 *
 * `generation` grows with every peer connection and ICE restart. Offers of the SFU bear the one that it knows, which
 * may be behind ours; those of before this peer connection are for another one.
 */
export class SfuPeer implements Path {
  readonly link: { value: LinkState } = { value: 'connecting' };
  senders = new Map<Source, RTCRtpTransceiver>();
  labels: Tracks = {};
  readonly #host: SfuPeerHost;
  readonly #events: SfuPeerEvents;
  #pc!: RTCPeerConnection;
  #generation = 0;
  /** Generation of this peer connection's first offer. */
  #first!: number;
  #restarting!: boolean;
  /** It cannot offer any more, and is about to be replaced. */
  #ended!: boolean;
  /** The last offer was refused: no other one before something has changed. */
  #held!: boolean;
  readonly #received = new Map<string, RTCRtpReceiver>();
  #wanted = new Map<Source, PublishMedia>();
  /** One change of a sender's track or parameters after the other: parameters are good for one change. */
  #tuning: Promise<void> = Promise.resolve();
  /** One signal after the other: candidates wait here until the description before them is set. */
  #inbox: Promise<void> = Promise.resolve();
  #giveUpTimer: ReturnType<typeof setTimeout> | undefined;
  #restartTimer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  #closed = false;

  constructor(host: SfuPeerHost, events: SfuPeerEvents) {
    this.#host = host;
    this.#events = events;
    this.#make();
  }

  get connection(): RTCPeerConnection { return this.#pc; }

  receiverOf(participant: string, source: Source): RTCRtpReceiver | undefined {
    return this.#received.get(keyOf(participant, source));
  }

  /** Our tracks, or what we may send, have changed. Only a source that was never sent before has to be negotiated. */
  update(): void {
    if (this.#closed) return;
    for (const [source, track] of this.#host.tracks()) {
      const transceiver = this.senders.get(source);
      const direction = this.#directionOf(source);
      if (!transceiver) {
        if (track) this.#allocate(source, track);
        continue;
      }
      if (transceiver.direction !== direction) transceiver.direction = direction;
      if (transceiver.sender.track !== track) this.#tune(source);
    }
    if (this.#held) this.#release();
  }

  /** How much of a source somebody receives. */
  publish(wanted: PublishMedia): void {
    this.#wanted.set(wanted.source, wanted);
    this.#tune(wanted.source);
  }

  signal(signal: Signal): void {
    this.#inbox = this.#inbox.then(() => this.#receive(signal)).catch(() => {
      // Descriptions that do not fit together: the timer will make the connection anew.
    });
  }

  /** The SFU has not taken a signal. */
  refused({ description, generation }: Signal, code: string): void {
    if (this.#closed || !description || generation !== this.#generation) return;
    if (code === 'not-found' && this.#pc.remoteDescription) {
      // It has lost our peer, as in a restart, and cannot go on with what this peer connection has negotiated.
      this.#remake();
    } else if (description.type === 'offer') {
      this.#held = true;
      this.#inbox = this.#inbox.then(async () => {
        if (this.#pc.signalingState === 'have-local-offer') await this.#pc.setLocalDescription({ type: 'rollback' });
      }).catch(() => undefined);
    }
  }

  /** Signals may have been lost: say again what has no answer, and restart what does not flow. */
  resume(): void {
    if (this.#closed) return;
    this.#release();
    if (this.#pc.signalingState === 'have-local-offer') this.#sendDescription();
    else if (this.#pc.connectionState === 'connected') return;
    else if (this.#pc.remoteDescription) this.restart();
    this.#watch();
  }

  /** ICE restart: another path for the same connection. */
  restart(): void {
    if (this.#closed) return;
    this.#restarting = true;
    this.#held = false;
    this.#pc.setConfiguration(this.#host.configuration);
    this.#pc.restartIce();
    this.#watch();
  }

  close(): void {
    this.#closed = true;
    this.#dispose();
    this.link.value = 'none';
  }

  #dispose(): void {
    clearTimeout(this.#giveUpTimer);
    clearTimeout(this.#restartTimer);
    const pc = this.#pc;
    pc.onnegotiationneeded = pc.onicecandidate = pc.onconnectionstatechange = null;
    pc.close();
    this.labels = {};
    this.#received.clear();
  }

  #make(): void {
    const pc = new RTCPeerConnection(this.#host.configuration);
    this.#pc = pc;
    this.#first = ++this.#generation;
    this.#restarting = this.#held = this.#ended = false;
    this.senders = new Map();
    this.#wanted = new Map();
    pc.onnegotiationneeded = () => void this.#negotiate(pc);
    pc.onicecandidate = ({ candidate }) => {
      // The empty string ends one generation of candidates; null, which follows, ends them all.
      if (candidate?.candidate !== '') this.#send({ candidate: candidate?.toJSON() ?? null });
    };
    pc.onconnectionstatechange = () => this.#stateChanged(pc.connectionState);
    for (const [source, track] of this.#host.tracks()) {
      if (track || source === 'microphone' || source === 'camera') this.#allocate(source, track);
    }
    if (this.link.value === 'connected') this.#setLink('connecting');
    this.#watch();
  }

  #remake(): void {
    this.#dispose();
    this.#make();
    this.#events.changed();
  }

  #directionOf(source: Source): RTCRtpTransceiverDirection {
    return this.#host.mayPublish(source) ? 'sendonly' : 'inactive';
  }

  #allocate(source: Source, track: MediaStreamTrack | null): void {
    const transceiver = this.#pc.addTransceiver(track ?? (isVideo(source) ? 'video' : 'audio'), {
      direction: this.#directionOf(source), sendEncodings: encodingsOf(source),
    });
    this.senders.set(source, transceiver);
    if (isVideo(source)) preferCodecs(transceiver, source);
    if (track) this.#tune(source);
  }

  /** Sends the track that a source has now, and of it what is wanted. */
  #tune(source: Source): void {
    const sender = this.senders.get(source)?.sender;
    if (!sender) return;
    this.#tuning = this.#tuning.then(async () => {
      const track = this.#host.tracks().get(source) ?? null;
      if (sender.track !== track) await sender.replaceTrack(track);
      const parameters = sender.getParameters();
      if (tune(parameters, source, track, this.#wanted.get(source))) await sender.setParameters(parameters);
    }).catch(() => {
      // A connection that was closed meanwhile.
    });
  }

  /* ------------------------------------------------ negotiation */

  async #negotiate(pc: RTCPeerConnection): Promise<void> {
    if (pc !== this.#pc || this.#held) return;
    try {
      // Not before: until this moment an answer to the offer before may come.
      if (this.#restarting) this.#generation++;
      this.#restarting = false;
      await pc.setLocalDescription();
      if (pc === this.#pc) this.#sendDescription();
    } catch {
      // Overtaken by an offer of the SFU: what is needed is negotiated after it. Else this peer connection has come to an end.
      if (pc === this.#pc && pc.signalingState === 'stable') this.#giveUp(remakeAfterMs * 2 ** this.#failures);
    }
  }

  /** An offer may be made again. */
  #release(): void {
    if (!this.#held) return;
    this.#held = false;
    if (this.#pc.signalingState === 'stable') void this.#negotiate(this.#pc);
  }

  #sendDescription(): void {
    const description = this.#pc.localDescription;
    if (!description || this.#closed) return;
    const tracks: Tracks = {};
    for (const [source, { mid }] of this.senders) if (mid !== null) tracks[mid] = { participant: this.#host.self, source };
    this.#send({ description: { type: description.type, sdp: description.sdp }, tracks });
  }

  #send(signal: Signal): void {
    this.#host.send(theSfu, { ...signal, generation: this.#generation });
  }

  async #receive({ description, candidate, generation = this.#generation, tracks }: Signal): Promise<void> {
    if (this.#closed || generation < this.#first) return;
    if (description?.type === 'offer') await this.#offered(description, tracks ?? {});
    else if (description?.type === 'answer' && generation === this.#generation) await this.#answered(description, tracks ?? {});
    if (candidate !== undefined && generation === this.#generation) await this.#addCandidate(candidate);
  }

  /** Takes it whatever is under way: an offer of ours was or will be ignored, and is made again (RFC 8829 4.1.10.2). */
  async #offered(description: RTCSessionDescriptionInit, tracks: Tracks): Promise<void> {
    const pc = this.#pc;
    await pc.setRemoteDescription(description);
    await pc.setLocalDescription();
    if (pc !== this.#pc) return;
    this.#sendDescription();
    this.#settled(tracks);
  }

  async #answered(description: RTCSessionDescriptionInit, tracks: Tracks): Promise<void> {
    const pc = this.#pc;
    if (pc.signalingState !== 'have-local-offer') return;
    const first = !pc.remoteDescription;
    await pc.setRemoteDescription(description);
    if (pc !== this.#pc) return;
    this.#settled(tracks);
    if (!first) return;
    for (const source of this.senders.keys()) this.#tune(source);
    this.#events.begun();
  }

  #settled(tracks: Tracks): void {
    this.labels = tracks;
    this.#received.clear();
    for (const { mid, receiver, currentDirection } of this.#pc.getTransceivers()) {
      const label = this.labels[mid ?? ''];
      if (!label || currentDirection !== 'recvonly' || isVideo(label.source) !== (receiver.track.kind === 'video')) continue;
      this.#received.set(keyOf(label.participant, label.source), receiver);
    }
    this.update();
    this.#events.changed();
  }

  async #addCandidate(candidate: RTCIceCandidateInit | null): Promise<void> {
    try {
      await this.#pc.addIceCandidate(candidate ?? undefined);
    } catch (error) {
      // The end of candidates is a hint.
      if (candidate) throw error;
    }
  }

  /* ------------------------------------------------ the path */

  #stateChanged(state: RTCPeerConnectionState): void {
    clearTimeout(this.#restartTimer);
    if (state === 'connected') {
      if (!this.#ended) {
        this.#failures = 0;
        clearTimeout(this.#giveUpTimer);
      }
      this.#setLink('connected');
    } else if (state === 'disconnected') {
      // Often passes by itself: a roaming phone, a burst of loss.
      this.#setLink('interrupted');
      this.#restartTimer = setTimeout(() => this.restart(), restartAfterMs);
    } else if (state === 'failed') {
      this.#setLink('failed');
      this.restart();
    } else if (this.link.value !== 'interrupted' && this.link.value !== 'failed') this.#setLink('connecting');
  }

  #setLink(state: LinkState): void {
    this.link.value = state;
    this.#events.changed();
  }

  /** Unless the path is there in time the connection is made anew. */
  #watch(): void {
    if (this.#ended) return;
    clearTimeout(this.#giveUpTimer);
    this.#giveUpTimer = setTimeout(() => {
      if (this.#pc.connectionState !== 'connected') this.#giveUp(0);
    }, Math.min(giveUpMs * 2 ** this.#failures, longestGiveUpMs));
  }

  #giveUp(afterMs: number): void {
    this.#ended = true;
    clearTimeout(this.#giveUpTimer);
    this.#giveUpTimer = setTimeout(() => {
      this.#failures++;
      this.#setLink('failed');
      this.#remake();
    }, Math.min(afterMs, longestGiveUpMs));
  }
}
