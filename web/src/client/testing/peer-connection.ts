/**
 * RTCPeerConnection's negotiation as W3C WebRTC and RFC 8829 describe it, without media: the operations
 * chain, rollback, mids, negotiationneeded, and a path that comes up when both sides hold each
 * other's newest descriptions and candidates. What breaks in a browser throws here too: sections
 * that do not line up, and a description of another peer connection (its certificate differs).
 */

export class FakeTrack extends EventTarget {
  readonly id = `track-${++made}`;
  readonly kind: string;
  muted = false;
  enabled = true;
  readyState: 'live' | 'ended' = 'live';
  contentHint = '';
  constructor(kind: string) {
    super();
    this.kind = kind;
  }
  stop(): void { this.readyState = 'ended'; }
  getSettings(): MediaTrackSettings { return this.kind === 'video' ? { width: 1280, height: 720 } : {}; }
}

export class FakeStream {
  readonly tracks: FakeTrack[];
  constructor(tracks: FakeTrack[] = []) { this.tracks = [...tracks]; }
  getTracks() { return this.tracks; }
  getVideoTracks() { return this.tracks.filter((t) => t.kind === 'video'); }
  getAudioTracks() { return this.tracks.filter((t) => t.kind === 'audio'); }
  addTrack(track: FakeTrack) { this.tracks.push(track); }
  removeTrack(track: FakeTrack) { this.tracks.splice(this.tracks.indexOf(track), 1); }
}

let made = 0;

interface Section { kind: string; mid: string; direction: RTCRtpTransceiverDirection }
interface Description { type: RTCSdpType; sdp: string }
interface Parsed { session: string; ufrag: string; sections: Section[] }

class FakeTransceiver {
  mid: string | null = null;
  currentDirection: RTCRtpTransceiverDirection | null = null;
  direction: RTCRtpTransceiverDirection;
  readonly kind: string;
  readonly sender: {
    track: FakeTrack | null; parameters: { encodings: RTCRtpEncodingParameters[] };
    replaceTrack(t: FakeTrack | null): Promise<void>; getParameters(): object; setParameters(p: object): Promise<void>;
  };
  readonly receiver: { track: FakeTrack; getStats(): Promise<Map<string, object>>; getSynchronizationSources(): object[] };

  constructor(pc: FakePeerConnection, kind: string, direction: RTCRtpTransceiverDirection, track: FakeTrack | null, encodings: RTCRtpEncodingParameters[] = []) {
    this.kind = kind;
    this.direction = direction;
    this.receiver = {
      track: new FakeTrack(kind),
      getStats: async () => {
        const count = this.#flow(pc);
        return new Map([['in', kind === 'video' ? { type: 'inbound-rtp', kind, framesDecoded: count } : { type: 'inbound-rtp', kind, packetsReceived: count }]]);
      },
      getSynchronizationSources: () => [],
    };
    this.sender = {
      track,
      parameters: { encodings: encodings.length > 0 ? encodings : [{}] },
      replaceTrack: async (t) => { this.sender.track = t; },
      getParameters: () => structuredClone(this.sender.parameters),
      setParameters: async (p) => { this.sender.parameters = p as typeof this.sender.parameters; },
    };
  }

  /** Grows with the time as long as the other side sends something. */
  #flow(pc: FakePeerConnection): number {
    const sending = pc.partner?.getTransceivers().find((t) => t.mid === this.mid)?.sender.track;
    const dry = this.#dry ?? Date.now();
    this.#dry = sending && pc.partner?.media ? dry : Date.now();
    return Date.now() - this.#dry;
  }
  #dry: number | undefined;
}

const flip: Record<string, RTCRtpTransceiverDirection> = { sendrecv: 'sendrecv', sendonly: 'recvonly', recvonly: 'sendonly', inactive: 'inactive' };
const sends = (d: string): boolean => d === 'sendrecv' || d === 'sendonly';
const receives = (d: string): boolean => d === 'sendrecv' || d === 'recvonly';
const direction = (send: boolean, receive: boolean): RTCRtpTransceiverDirection =>
  (send ? (receive ? 'sendrecv' : 'sendonly') : receive ? 'recvonly' : 'inactive');

function write(session: string, ufrag: string, sections: Section[]): string {
  return [`v=0`, `o=- ${session} 2 IN IP4 127.0.0.1`, `a=ice-ufrag:${ufrag}`, ...sections.map((s) => `m=${s.kind} ${s.mid} ${s.direction}`), ''].join('\r\n');
}
function read(sdp: string): Parsed {
  const sections = [...sdp.matchAll(/^m=(\S+) (\S+) (\S+)/gm)].map(([, kind = '', mid = '', d = '']) => ({ kind, mid, direction: d as RTCRtpTransceiverDirection }));
  return { session: /^o=- (\S+)/m.exec(sdp)?.[1] ?? '', ufrag: /ice-ufrag:(\S+)/.exec(sdp)?.[1] ?? '', sections };
}

export class FakePeerConnection {
  static all = new Map<string, FakePeerConnection>();
  /** Whether paths can come up at all. */
  static network = true;

  /** Whether what is sent arrives. */
  media = true;
  /** Whether it goes by a relay. */
  relayed = false;
  signalingState: RTCSignalingState = 'stable';
  connectionState: RTCPeerConnectionState = 'new';
  localDescription: Description | null = null;
  remoteDescription: Description | null = null;
  onnegotiationneeded: (() => void) | null = null;
  onicecandidate: ((e: { candidate: { candidate: string; toJSON(): object } | null }) => void) | null = null;
  ontrack: ((e: { transceiver: FakeTransceiver }) => void) | null = null;
  onconnectionstatechange: (() => void) | null = null;

  readonly session = String(1_000 + ++made);
  configuration: RTCConfiguration;
  readonly #transceivers: FakeTransceiver[] = [];
  #chain: Promise<unknown> = Promise.resolve();
  #chained = 0;
  #needed = false;
  #restart = false;
  #ufrag = `u${++made}`;
  #pendingUfrag = '';
  #stable: { local: Description | null; remote: Description | null; mids: Set<FakeTransceiver> } = { local: null, remote: null, mids: new Set() };
  #nextMid = 0;
  readonly #remoteCandidates = new Set<string>();
  /** mids as they stand in descriptions. */
  #order: string[] = [];
  readonly #prefix: string;

  constructor(configuration: RTCConfiguration = {}, prefix = '') {
    this.configuration = configuration;
    this.#prefix = prefix;
    FakePeerConnection.all.set(this.session, this);
  }

  getTransceivers(): FakeTransceiver[] { return [...this.#transceivers]; }
  /** W3C WebRTC 4.4.1.6, set a configuration: how media is bundled cannot change. */
  setConfiguration(configuration: RTCConfiguration): void {
    if (configuration.bundlePolicy !== this.configuration.bundlePolicy) throw new Error('InvalidModificationError: bundlePolicy');
    this.configuration = configuration;
  }
  /** Nothing but the pair in use. */
  getStats(): Promise<Map<string, object>> {
    return Promise.resolve(new Map<string, object>([
      ['t', { id: 't', type: 'transport', selectedCandidatePairId: 'p' }],
      ['p', { id: 'p', type: 'candidate-pair', localCandidateId: 'l' }],
      ['l', { id: 'l', type: 'local-candidate', candidateType: this.relayed ? 'relay' : 'host' }],
    ]));
  }

  addTransceiver(of: string | FakeTrack, init: { direction: RTCRtpTransceiverDirection; sendEncodings?: RTCRtpEncodingParameters[] }): FakeTransceiver {
    const t = new FakeTransceiver(this, typeof of === 'string' ? of : of.kind, init.direction, typeof of === 'string' ? null : of, init.sendEncodings);
    this.#transceivers.push(t);
    this.#update();
    return t;
  }

  restartIce(): void {
    this.#restart = true;
    this.#update();
  }

  setLocalDescription(description?: { type: 'rollback' }): Promise<void> {
    return this.#enqueue(async () => {
      if (description) {
        this.#rollback();
        return;
      }
      if (this.signalingState === 'have-remote-offer') this.#answer();
      else if (this.signalingState === 'stable') this.#offer();
      else this.localDescription = { ...(this.localDescription as Description) };
      this.#gather();
    });
  }

  setRemoteDescription(description: Description): Promise<void> {
    return this.#enqueue(async () => {
      const parsed = read(description.sdp);
      const before = this.#stable.remote ? read(this.#stable.remote.sdp) : null;
      if (before && before.session !== parsed.session) throw new Error('InvalidAccessError: another certificate');
      if (description.sdp.includes('a=candidate')) this.#remoteCandidates.add(parsed.ufrag);
      if (description.type === 'offer') this.#applyOffer(description, parsed);
      else this.#applyAnswer(description, parsed);
    });
  }

  async addIceCandidate(candidate?: { usernameFragment?: string | null }): Promise<void> {
    await this.#enqueue(async () => {
      if (!this.remoteDescription) throw new Error('InvalidStateError: no remote description');
      if (candidate?.usernameFragment) this.#remoteCandidates.add(candidate.usernameFragment);
    });
    settlePaths();
  }

  close(): void {
    this.signalingState = 'closed';
    this.connectionState = 'closed';
    FakePeerConnection.all.delete(this.session);
    settlePaths();
  }

  /** The other end's peer connection, if each holds the other's newest descriptions and a candidate. */
  get partner(): FakePeerConnection | null {
    if (this.signalingState === 'closed' || !this.#stable.local || !this.#stable.remote) return null;
    const remote = read(this.#stable.remote.sdp);
    const other = FakePeerConnection.all.get(remote.session);
    if (!other || other.#ufrag !== remote.ufrag || !this.#remoteCandidates.has(remote.ufrag)) return null;
    return other;
  }

  setState(state: RTCPeerConnectionState): void {
    if (this.connectionState === state || this.signalingState === 'closed') return;
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }

  #enqueue<T>(operation: () => Promise<T>): Promise<T> {
    this.#chained++;
    const run = this.#chain.then(async () => {
      // Real ones take a turn of the event loop and more.
      await new Promise((resolve) => { setTimeout(resolve, 1); });
      if (this.signalingState === 'closed') return new Promise<T>(() => undefined);
      return operation();
    });
    this.#chain = run.catch(() => undefined).then(() => {
      this.#chained--;
      this.#update();
    });
    return run;
  }

  /** W3C WebRTC 4.7.3: fired once per need, when stable and the chain is empty. */
  #update(): void {
    if (this.#needed || this.#chained > 0 || this.signalingState !== 'stable' || !this.#wants()) return;
    this.#needed = true;
    setTimeout(() => {
      this.#needed = false;
      if (this.#chained > 0 || this.signalingState !== 'stable' || !this.#wants()) return;
      this.onnegotiationneeded?.();
    }, 0);
  }

  #wants(): boolean {
    return this.#restart || this.#transceivers.some((t) => t.mid === null
      || sends(t.direction) !== sends(t.currentDirection ?? 'inactive') && sends(t.direction));
  }

  #sections(of: (t: FakeTransceiver) => RTCRtpTransceiverDirection): Section[] {
    return this.#transceivers.filter((t) => t.mid !== null)
      .map((t) => ({ kind: t.kind, mid: t.mid as string, direction: of(t) }))
      .sort((a, b) => this.#order.indexOf(a.mid) - this.#order.indexOf(b.mid));
  }

  #offer(): void {
    for (const t of this.#transceivers) {
      if (t.mid !== null) continue;
      t.mid = `${this.#prefix}${this.#nextMid++}`;
      this.#order.push(t.mid);
    }
    this.#pendingUfrag = this.#restart ? `u${++made}` : this.#ufrag;
    this.localDescription = { type: 'offer', sdp: write(this.session, this.#pendingUfrag, this.#sections((t) => t.direction)) };
    this.signalingState = 'have-local-offer';
  }

  #answer(): void {
    const remote = read((this.remoteDescription as Description).sdp);
    const before = this.#stable.remote ? read(this.#stable.remote.sdp).ufrag : remote.ufrag;
    if (before !== remote.ufrag) {
      this.#ufrag = `u${++made}`;
      this.#restart = false;
    }
    const sections = remote.sections.map((s) => {
      const t = this.#transceivers.find((x) => x.mid === s.mid) as FakeTransceiver;
      t.currentDirection = direction(sends(t.direction) && receives(s.direction), receives(t.direction) && sends(s.direction));
      return { ...s, direction: t.currentDirection };
    });
    this.localDescription = { type: 'answer', sdp: write(this.session, this.#ufrag, sections) };
    this.#becomeStable();
  }

  #applyOffer(description: Description, parsed: Parsed): void {
    if (this.signalingState === 'have-local-offer') {
      this.#rollback();
    }
    for (const t of this.#stable.mids) {
      if (parsed.sections.find((s) => s.mid === t.mid)?.kind !== t.kind) throw new Error('InvalidAccessError: sections do not line up');
    }
    const fresh: FakeTransceiver[] = [];
    for (const s of parsed.sections) {
      if (this.#transceivers.some((t) => t.mid === s.mid)) continue;
      const t = new FakeTransceiver(this, s.kind, 'recvonly', null);
      t.mid = s.mid;
      this.#order.push(s.mid);
      this.#transceivers.push(t);
      if (sends(s.direction)) fresh.push(t);
    }
    this.#nextMid = Math.max(this.#nextMid, parsed.sections.length);
    this.remoteDescription = description;
    this.signalingState = 'have-remote-offer';
    for (const t of fresh) this.ontrack?.({ transceiver: t });
  }

  /** What the offer under way has allocated loses its mid again. */
  #rollback(): void {
    for (const t of this.#transceivers) if (!this.#stable.mids.has(t)) t.mid = null;
    this.#order = this.#order.filter((mid) => this.#transceivers.some((t) => t.mid === mid));
    this.#nextMid = this.#stable.mids.size;
    this.localDescription = this.#stable.local;
    this.signalingState = 'stable';
  }

  #applyAnswer(description: Description, parsed: Parsed): void {
    if (this.signalingState !== 'have-local-offer') throw new Error('InvalidStateError');
    const own = read((this.localDescription as Description).sdp);
    if (own.sections.length !== parsed.sections.length) throw new Error('InvalidAccessError: sections do not line up');
    this.remoteDescription = description;
    if (this.#pendingUfrag !== this.#ufrag) this.#restart = false;
    this.#ufrag = this.#pendingUfrag;
    const fresh: FakeTransceiver[] = [];
    for (const s of parsed.sections) {
      const t = this.#transceivers.find((x) => x.mid === s.mid) as FakeTransceiver;
      const came = receives(flip[s.direction] ?? 'inactive') && !receives(t.currentDirection ?? 'inactive');
      t.currentDirection = flip[s.direction] ?? 'inactive';
      if (came) fresh.push(t);
    }
    this.#becomeStable();
    for (const t of fresh) this.ontrack?.({ transceiver: t });
  }

  #becomeStable(): void {
    this.signalingState = 'stable';
    this.#stable = { local: this.localDescription, remote: this.remoteDescription, mids: new Set(this.#transceivers.filter((t) => t.mid !== null)) };
    setTimeout(settlePaths, 1);
  }

  #gather(): void {
    const ufrag = read((this.localDescription as Description).sdp).ufrag;
    setTimeout(() => {
      if (this.signalingState === 'closed') return;
      // localDescription holds what was gathered so far (W3C WebRTC 4.7.2).
      if (this.localDescription && read(this.localDescription.sdp).ufrag === ufrag && !this.localDescription.sdp.includes('a=candidate')) {
        this.localDescription = { ...this.localDescription, sdp: `${this.localDescription.sdp}a=candidate:1\r\n` };
      }
      const init = { candidate: 'candidate:1 1 udp 1 192.0.2.1 9 typ host', sdpMid: '0', usernameFragment: ufrag };
      this.onicecandidate?.({ candidate: { candidate: init.candidate, toJSON: () => init } });
      this.onicecandidate?.({ candidate: null });
    }, 1);
  }
}

/** Paths come up and go down with what the two ends of each know of each other. */
export function settlePaths(): void {
  for (const pc of FakePeerConnection.all.values()) {
    const other = pc.partner;
    const up = FakePeerConnection.network && other !== null && other.partner === pc;
    if (up) {
      pc.setState('connected');
      other.setState('connected');
    } else if (pc.connectionState === 'connected') pc.setState('disconnected');
  }
}
