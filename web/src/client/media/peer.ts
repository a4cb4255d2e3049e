import { Value } from '../readable';
import type { LinkState } from '../types';
import type { Signal, SignalTrack, Source } from '../wire';
import type { Path } from './stats';

/** A path that is `disconnected` for this long is restarted. */
const restartAfterMs = 3_000;
/** No path this long after a description was sent: the connection is made anew. Doubles up to a minute. */
const giveUpMs = 10_000;
const longestGiveUpMs = 60_000;
/** The polite side waits longer, so that the two do not do the same thing at once. */
const politeFactor = 1.5;

/** What media sections carry, by mid. */
export type Tracks = Record<string, SignalTrack>;

/** What a path needs of the call that it belongs to. */
export interface PeerHost {
  /** Our participant id. Of us and the other one who has the smaller id is polite. */
  readonly self: string;
  /** As it is at the time when a path is made. */
  readonly configuration: RTCConfiguration;
  send(to: string, signal: Signal): void;
  /** The track that we send for each source now, null for those that are ready but off. */
  tracks(): ReadonlyMap<Source, MediaStreamTrack | null>;
  /** A remote track came (or went: null). */
  received(from: string, source: Source, track: MediaStreamTrack | null): void;
  /** With one participant signals pass and media does not, for the second time. */
  unreachable(): void;
}

/** Of each bundle: bits a second, enough for sharp text and a good face in a mesh of four. */
const bitrates: Partial<Record<Source, number>> = { camera: 1_500_000, screen: 4_000_000 };
const kindOf = (source: Source): 'audio' | 'video' => (source === 'camera' || source === 'screen' ? 'video' : 'audio');
/** RFC 8866 5.2: the session id stays as long as the peer connection that wrote it. */
const sessionOf = (sdp: string | undefined): string => /^o=\S+ (\S+)/m.exec(sdp ?? '')?.[1] ?? '';

/**
 * The media path to one other participant: perfect negotiation (W3C WebRTC 10.7) over a relay that
 * keeps order but may lose what was under way when a connection died.
 *
 * Who makes the first offer of a peer connection allocates its media sections: microphone and
 * camera at once, so that switching them on, off or to another device needs no negotiation. The
 * polite side makes it; the impolite one only when nothing comes. That way the side that rolls
 * back has offered before: Chromium (156) loses the remote video of a peer connection that has
 * only answered when it rolls back its first offer.
 *
 * `generation` grows with every peer connection and ICE restart and belongs to the pair, not to
 * one side: both use the highest they have seen, answers and candidates bear that of the offer they
 * belong to, and what bears a lower one is dropped. The session id in an offer tells whether the
 * other side goes on with the peer connection that we know or has made another.
 */
export class Peer implements Path {
  readonly link = new Value<LinkState>('connecting');
  generation = 0;
  senders = new Map<Source, RTCRtpTransceiver>();
  labels: Tracks = {};
  readonly #host: PeerHost;
  readonly #remote: string;
  readonly #polite: boolean;
  readonly #patience: number;
  #pc!: RTCPeerConnection;
  #makingOffer!: boolean;
  #ignoringOffer!: boolean;
  #restarting!: boolean;
  /** This peer connection has offered: it may roll back. */
  #hasOffered!: boolean;
  /** Session id of the newest description that came, taken or not. */
  #seen = '';
  #received = new Map<Source, RTCRtpTransceiver>();
  /** One signal after the other: candidates wait here until the description before them is set. */
  #inbox: Promise<void> = Promise.resolve();
  #giveUpTimer: ReturnType<typeof setTimeout> | undefined;
  #restartTimer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  #closed = false;

  /** `remote`: the other's participant id. */
  constructor(host: PeerHost, remote: string) {
    this.#host = host;
    this.#remote = remote;
    this.#polite = host.self < remote;
    this.#patience = this.#polite ? politeFactor : 1;
    this.#make(this.#polite);
  }

  get connection(): RTCPeerConnection { return this.#pc; }

  /** Session id of the other's peer connection that ours is connected with, empty before the first description. */
  get #known(): string { return sessionOf(this.#pc.remoteDescription?.sdp); }

  receiverOf(source: Source): RTCRtpReceiver | undefined {
    return this.#received.get(source)?.receiver;
  }

  /** Our tracks have changed. Only a source that was never sent before has to be negotiated. */
  update(): void {
    // Without a first description the sections are not there yet, or not for us to make.
    if (this.#closed || (this.senders.size === 0 && !this.#pc.remoteDescription)) return;
    for (const [source, track] of this.#host.tracks()) {
      const transceiver = this.senders.get(source);
      if (transceiver) {
        if (transceiver.sender.track !== track) void this.#replace(transceiver, source, track);
      } else if (track) this.#allocate(source, track);
    }
  }

  signal(signal: Signal): void {
    this.#inbox = this.#inbox.then(() => this.#receive(signal)).catch(() => {
      // Descriptions that do not fit together: the timer will make the connection anew.
    });
  }

  /** Signals may have been lost: say again what has no answer, and restart what does not flow. */
  resume(): void {
    if (this.#closed) return;
    if (this.#pc.signalingState === 'have-local-offer') this.#sendDescription();
    else if (this.#pc.connectionState === 'connected') return;
    else if (this.#pc.remoteDescription) this.restart();
    this.#watch();
  }

  /** ICE restart: another path for the same connection. */
  restart(): void {
    if (this.#closed) return;
    this.#restarting = true;
    this.#pc.setConfiguration(this.#host.configuration);
    this.#pc.restartIce();
    this.#watch();
  }

  close(): void {
    this.#closed = true;
    this.#dispose();
    this.link.set('none');
  }

  #dispose(): void {
    clearTimeout(this.#giveUpTimer);
    clearTimeout(this.#restartTimer);
    const pc = this.#pc;
    pc.onnegotiationneeded = pc.onicecandidate = pc.onconnectionstatechange = null;
    pc.close();
    const gone = [...this.#received.keys()];
    this.#received.clear();
    for (const source of gone) this.#host.received(this.#remote, source, null);
  }

  #make(offering: boolean): void {
    const pc = new RTCPeerConnection(this.#host.configuration);
    this.#pc = pc;
    this.senders = new Map();
    this.labels = {};
    this.#makingOffer = this.#ignoringOffer = this.#restarting = false;
    this.#hasOffered = offering;
    pc.onnegotiationneeded = () => void this.#negotiate(pc);
    pc.onicecandidate = ({ candidate }) => {
      // The empty string ends one generation of candidates; null, which follows, ends them all.
      if (candidate?.candidate !== '') this.#send({ candidate: candidate?.toJSON() ?? null });
    };
    pc.onconnectionstatechange = () => this.#stateChanged(pc.connectionState);
    if (offering) {
      this.generation++;
      for (const [source, track] of this.#host.tracks()) if (track || isShared(source)) this.#allocate(source, track);
    }
    if (this.link.value === 'connected') this.link.set('connecting');
    this.#watch();
  }

  /** Another peer connection in the place of this one. */
  #remake(offering: boolean): void {
    this.#dispose();
    this.#make(offering);
  }

  #allocate(source: Source, track: MediaStreamTrack | null): void {
    const maxBitrate = bitrates[source];
    const transceiver = this.#pc.addTransceiver(track ?? kindOf(source), {
      direction: isShared(source) ? 'sendrecv' : 'sendonly', sendEncodings: maxBitrate ? [{ maxBitrate }] : [],
    });
    this.senders.set(source, transceiver);
  }

  async #replace(transceiver: RTCRtpTransceiver, source: Source, track: MediaStreamTrack | null): Promise<void> {
    try {
      await transceiver.sender.replaceTrack(track);
      const maxBitrate = bitrates[source];
      const parameters = transceiver.sender.getParameters();
      const [encoding] = parameters.encodings;
      if (maxBitrate && encoding && encoding.maxBitrate !== maxBitrate) {
        encoding.maxBitrate = maxBitrate;
        await transceiver.sender.setParameters(parameters);
      }
    } catch {
      // A connection that was closed meanwhile.
    }
  }

  /* ------------------------------------------------ negotiation */

  async #negotiate(pc: RTCPeerConnection): Promise<void> {
    if (pc !== this.#pc) return;
    try {
      this.#makingOffer = true;
      // Not before: until this moment an answer to the offer before may come.
      if (this.#restarting) this.generation++;
      this.#restarting = false;
      await pc.setLocalDescription();
      if (pc === this.#pc) this.#sendDescription();
    } catch {
      // Overtaken by a remote offer; what is needed is negotiated after it.
    } finally {
      if (pc === this.#pc) this.#makingOffer = false;
    }
  }

  #sendDescription(): void {
    const description = this.#pc.localDescription;
    if (!description || this.#closed) return;
    const tracks: Tracks = {};
    for (const [source, { mid }] of this.senders) if (mid !== null) tracks[mid] = { participant: this.#host.self, source };
    this.#send({ description: { type: description.type, sdp: description.sdp }, tracks });
  }

  #send(signal: Signal): void {
    this.#host.send(this.#remote, { ...signal, generation: this.generation });
  }

  async #receive({ description, candidate, generation = this.generation, tracks }: Signal): Promise<void> {
    if (this.#closed) return;
    if (description?.type === 'offer') await this.#offered(description, generation, tracks ?? {});
    else if (description?.type === 'answer') await this.#answered(description, generation, tracks ?? {});
    if (candidate !== undefined && generation === this.generation) await this.#addCandidate(candidate);
  }

  async #offered(description: RTCSessionDescriptionInit, generation: number, tracks: Tracks): Promise<void> {
    const known = this.#known;
    const session = sessionOf(description.sdp);
    const another = known !== '' && known !== session;
    const unseen = session !== this.#seen;
    this.#seen = session;
    if (generation < this.generation) {
      // Late, or the other side has begun anew and does not know how far we were: make ours the newest.
      if (unseen) this.#remake(true);
      return;
    }
    const collision = this.#makingOffer || this.#pc.signalingState !== 'stable';
    this.#ignoringOffer = collision && !this.#polite;
    if (this.#ignoringOffer) {
      // They wait for an answer of their generation or later: ours has to reach them as such.
      if (generation > this.generation) {
        this.generation = generation;
        if (!this.#makingOffer) this.#sendDescription();
      }
      return;
    }
    this.generation = generation;
    // Sections that were allocated for a first offer cannot be rolled back into someone else's.
    if (another || (collision && known === '')) this.#remake(false);
    if (!await this.#apply(description, tracks)) return;
    const pc = this.#pc;
    await pc.setLocalDescription();
    if (pc !== this.#pc) return;
    this.#sendDescription();
    this.update();
    this.#watch();
    if (this.#polite && !this.#hasOffered) {
      this.#hasOffered = true;
      void this.#negotiate(pc);
    }
  }

  async #answered(description: RTCSessionDescriptionInit, generation: number, tracks: Tracks): Promise<void> {
    this.#seen = sessionOf(description.sdp);
    if (generation !== this.generation || this.#pc.signalingState !== 'have-local-offer') return;
    // Answered by a new peer connection: it cannot continue the old one.
    if (!['', this.#seen].includes(this.#known)) this.#remake(true);
    else if (await this.#apply(description, tracks)) this.update();
  }

  /** Returns false when this peer connection was replaced meanwhile. */
  async #apply(description: RTCSessionDescriptionInit, tracks: Tracks): Promise<boolean> {
    const pc = this.#pc;
    this.labels = tracks;
    // While an offer of ours is out, another rolls it back (RFC 8829 4.1.10.2).
    await pc.setRemoteDescription(description);
    if (pc !== this.#pc) return false;
    this.#adopt();
    return true;
  }

  async #addCandidate(candidate: RTCIceCandidateInit | null): Promise<void> {
    try {
      await this.#pc.addIceCandidate(candidate ?? undefined);
    } catch (error) {
      // Those of an offer that we ignore name nothing that we know; the end of candidates is a hint.
      if (!this.#ignoringOffer && candidate) throw error;
    }
  }

  /** Uses the microphone and camera sections of the other's offer for ours, and names what came in. */
  #adopt(): void {
    const tracks = this.#host.tracks();
    for (const transceiver of this.#pc.getTransceivers()) {
      const source = transceiver.mid === null ? undefined : this.labels[transceiver.mid]?.source;
      if (!source) continue;
      if (isShared(source) && !this.senders.has(source)) {
        this.senders.set(source, transceiver);
        transceiver.direction = 'sendrecv';
        void this.#replace(transceiver, source, tracks.get(source) ?? null);
      }
      const { receiver: { track }, currentDirection } = transceiver;
      if (this.#received.get(source) === transceiver || kindOf(source) !== track.kind) continue;
      if (currentDirection === 'sendonly' || currentDirection === 'inactive') continue;
      this.#received.set(source, transceiver);
      this.#host.received(this.#remote, source, track);
    }
  }

  /* ------------------------------------------------ the path */

  #stateChanged(state: RTCPeerConnectionState): void {
    clearTimeout(this.#restartTimer);
    if (state === 'connected') {
      this.#failures = 0;
      clearTimeout(this.#giveUpTimer);
      this.link.set('connected');
    } else if (state === 'disconnected') {
      // Often passes by itself: a roaming phone, a burst of loss.
      this.link.set('interrupted');
      this.#restartTimer = setTimeout(() => this.restart(), restartAfterMs * this.#patience);
    } else if (state === 'failed') {
      this.link.set('failed');
      this.restart();
    } else if (this.link.value !== 'interrupted' && this.link.value !== 'failed') this.link.set('connecting');
  }

  /** Unless the path is there in time the connection is made anew. */
  #watch(): void {
    clearTimeout(this.#giveUpTimer);
    const delay = Math.min(giveUpMs * this.#patience * 2 ** this.#failures, longestGiveUpMs);
    this.#giveUpTimer = setTimeout(() => {
      if (this.#closed || this.#pc.connectionState === 'connected') return;
      if (++this.#failures === 2 && this.#pc.remoteDescription) this.#host.unreachable();
      this.link.set('failed');
      this.#remake(true);
    }, delay);
  }
}

/** Sources whose section carries both sides: those that nearly everyone sends. */
function isShared(source: Source): boolean {
  return source === 'microphone' || source === 'camera';
}
