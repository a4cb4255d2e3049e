import { createClient } from '../client';
import type { Client, LocalMedia, MediaFeed, Room } from '../types';
import type { Envelope, Grants, MediaMode, MediaSetup, MediaState, Signal, SignalTrack, Source } from '../wire';
import { Value } from '../readable';
import { FakePeerConnection, FakeTrack } from './peer-connection';
import { FakeServer, participant, quiet } from './server';

const sources: readonly Source[] = ['microphone', 'camera', 'screen', 'screen-audio'];
const kindOf = (source: Source): string => (source === 'camera' || source === 'screen' ? 'video' : 'audio');
const wait = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms); });

/** Own devices that a test switches. */
export class FakeMedia {
  readonly feeds = new Value<readonly MediaFeed[]>([]);
  readonly level = new Value(0);
  readonly #state = { microphone: new Value({ on: false }), camera: new Value({ on: false }), screen: new Value({ on: false }) };
  get microphone() { return this.#state.microphone; }
  get camera() { return this.#state.camera; }
  get screen() { return this.#state.screen; }

  set(source: Source, on: boolean): FakeTrack {
    const track = new FakeTrack(kindOf(source));
    const others = this.feeds.value.filter((feed) => feed.source !== source);
    this.feeds.set(on ? [...others, { source, track } as unknown as MediaFeed] : others);
    if (source !== 'screen-audio') this.#state[source].set({ on });
    return track;
  }

  close(): void { /* nothing is open */ }
}

/** One participant: its client, with a server connection of its own. */
export class Guest {
  readonly server = new FakeServer();
  readonly media = new FakeMedia();
  readonly client: Client;
  readonly id: string;
  room!: Room;
  /** Codes with which the server refuses the next signals for the SFU. */
  readonly refusals: string[] = [];
  /** What it sent to others and to the SFU, and what came from those. */
  readonly sent: { to: string; signal: Signal }[] = [];

  constructor(id: string) {
    this.id = id;
    this.server.self = id;
    this.server.user = { id, name: id };
    this.client = createClient({ url: 'ws://h/ws', token: 't', WebSocket: this.server.WebSocket, retry: () => 1_000 });
  }

  say(type: string, data: unknown, from?: string): void {
    this.server.sockets.at(-1)?.say({ type, room: 'daily', from, data });
  }

  view(of: Guest) {
    const view = this.room.participants.value.find((p) => p.id === of.id);
    if (!view) throw new Error(`${this.id} does not see ${of.id}`);
    return view;
  }

  feed(of: Guest, source: Source): MediaFeed | undefined {
    return this.view(of).feeds.value.find((feed) => feed.source === source);
  }

  offers(to: string): Signal[] {
    return this.sent.filter((one) => one.to === to && one.signal.description?.type === 'offer').map((one) => one.signal);
  }
}

/** The SFU's side of one connection: impolite, its sections have mids with a prefix and are used again. */
class FakeSfuPeer {
  readonly pc = new FakePeerConnection(undefined, 's');
  readonly session: string;
  generation = 0;
  labels: Record<string, SignalTrack> = {};
  readonly #send: (signal: Signal) => void;
  readonly #sections = new Map<ReturnType<FakePeerConnection['addTransceiver']>, SignalTrack | null>();
  #needed = false;
  #chain: Promise<unknown> = Promise.resolve();

  constructor(session: string, send: (signal: Signal) => void) {
    this.session = session;
    this.#send = send;
    this.pc.onicecandidate = ({ candidate }) => this.#send({ candidate: candidate?.toJSON() as RTCIceCandidateInit ?? null, generation: this.generation });
  }

  /** What the client sends now. */
  get published(): SignalTrack[] {
    const client = this.pc.partner;
    return (client?.getTransceivers() ?? []).flatMap((t) => {
      const label = this.labels[t.mid ?? ''];
      return label && t.sender.track && t.currentDirection === 'sendonly' ? [label] : [];
    });
  }

  take(signal: Signal): void {
    this.#chain = this.#chain.then(() => this.#take(signal)).catch(() => undefined);
  }

  /** Makes what it sends that, and offers if it was not. */
  forward(tracks: readonly SignalTrack[]): void {
    const same = (a: SignalTrack | null, b: SignalTrack): boolean => a?.participant === b.participant && a.source === b.source;
    for (const [section, label] of this.#sections) {
      if (!label || tracks.some((track) => same(label, track))) continue;
      this.#sections.set(section, null);
      section.sender.track = null;
      this.#needed = true;
    }
    for (const track of tracks) {
      if ([...this.#sections.values()].some((label) => same(label, track))) continue;
      const kind = kindOf(track.source);
      const free = [...this.#sections].find(([section, label]) => label === null && section.kind === kind)?.[0];
      const section = free ?? this.pc.addTransceiver(kind, { direction: 'sendonly' });
      section.sender.track = new FakeTrack(kind);
      this.#sections.set(section, track);
      this.#needed = true;
    }
    if (this.#needed) this.#chain = this.#chain.then(() => this.#offer()).catch(() => undefined);
  }

  async #offer(): Promise<void> {
    if (!this.#needed || this.pc.signalingState !== 'stable' || !this.pc.remoteDescription) return;
    this.#needed = false;
    await this.pc.setLocalDescription();
    this.#say();
  }

  async #take({ description, candidate, generation = 0, tracks }: Signal): Promise<void> {
    if (generation < this.generation) return;
    if (description?.type === 'offer') {
      if (this.pc.signalingState !== 'stable') return;
      this.generation = generation;
      this.labels = tracks ?? {};
      await this.pc.setRemoteDescription(description);
      await this.pc.setLocalDescription();
      this.#say();
    } else if (description && this.pc.signalingState === 'have-local-offer') {
      await this.pc.setRemoteDescription(description);
      await this.#offer();
    }
    if (candidate) await this.pc.addIceCandidate(candidate);
  }

  #say(): void {
    const tracks: Record<string, SignalTrack> = {};
    for (const [{ mid }, label] of this.#sections) if (mid !== null && label) tracks[mid] = label;
    const { type, sdp } = this.pc.localDescription as { type: 'offer' | 'answer'; sdp: string };
    this.#send({ description: { type, sdp }, generation: this.generation, tracks });
  }
}

/** A room of several clients, with a relay between them and an SFU. */
export class House {
  readonly guests = new Map<string, Guest>();
  readonly peers = new Map<string, FakeSfuPeer>();
  mode: MediaMode = 'mesh';
  setup: Partial<MediaSetup> = { sfu: true };
  readonly grants: Grants = { publish: [...sources], subscribe: true, chat: true, bots: true };
  /** Whether the SFU forwards anything. */
  sfuMedia = true;
  /** Signals between participants that are acknowledged and never arrive. */
  lost: (signal: Signal, from: string) => boolean = () => false;
  /** Milliseconds from one to another. */
  latency = 10;
  readonly #timer = setInterval(() => this.#forward(), 20);

  async enter(id: string, on: readonly Source[] = ['microphone', 'camera']): Promise<Guest> {
    const guest = new Guest(id);
    for (const source of on) guest.media.set(source, true);
    this.#serve(guest);
    this.guests.set(id, guest);
    for (const other of this.guests.values()) if (other !== guest) other.say('presence', { event: 'joined', participant: this.#participant(guest) }, id);
    guest.room = await guest.client.join('daily', { media: guest.media as unknown as LocalMedia, call: true });
    return guest;
  }

  leave(guest: Guest): void {
    guest.client.close();
    this.guests.delete(guest.id);
    this.#end(guest.id);
    for (const other of this.guests.values()) other.say('presence', { event: 'left', participant: this.#participant(guest) }, guest.id);
  }

  change(mode: MediaMode): void {
    this.mode = mode;
    for (const guest of this.guests.values()) guest.say('media-mode', { mode, reason: 'test' });
  }

  /** The SFU loses all connections, as in a restart. */
  restart(): void {
    for (const id of [...this.peers.keys()]) this.#end(id);
  }

  close(): void {
    clearInterval(this.#timer);
    for (const { client } of this.guests.values()) client.close();
    this.restart();
  }

  #end(id: string): void {
    this.peers.get(id)?.pc.close();
    this.peers.delete(id);
  }

  #participant(guest: Guest) {
    return participant(guest.id, guest.id, { media: this.#state(guest) });
  }

  #state({ media }: Guest): MediaState {
    return { ...quiet, microphone: media.microphone.value.on, camera: media.camera.value.on, screen: media.screen.value.on };
  }

  #serve(guest: Guest): void {
    const { server } = guest;
    server.answers.set('join', (message) => {
      const list = [...this.guests.values()].map((one) => this.#participant(one));
      server.joined = {
        self: this.#participant(guest), participants: list, media: { mode: this.mode, iceServers: [], ...this.setup },
        grants: structuredClone(this.grants),
      };
      return [server.welcome(message)];
    });
    server.answers.set('media-state', (message) => {
      for (const other of this.guests.values()) other.say('media-state', message.data, guest.id);
      return undefined;
    });
    server.answers.set('webrtc-signal', (message) => this.#signal(guest, message));
  }

  #signal(guest: Guest, message: Envelope): Envelope[] | undefined {
    const signal = structuredClone(message.data) as Signal;
    const to = message.to ?? '';
    guest.sent.push({ to, signal });
    if (to !== 'sfu') {
      if (this.lost(signal, guest.id)) return undefined;
      void wait(this.latency).then(() => this.guests.get(to)?.say('webrtc-signal', signal, guest.id));
      return undefined;
    }
    const code = signal.description ? guest.refusals.shift() ?? this.#refusal(guest, signal) : undefined;
    if (code) return [{ type: 'error', id: message.id, data: { code, message: code, retryable: false } }];
    void wait(this.latency).then(() => this.peers.get(guest.id)?.take(signal));
    return undefined;
  }

  /** Makes a peer for the first offer of a peer connection; returns the code of the refusal otherwise. */
  #refusal(guest: Guest, { description }: Signal): string | undefined {
    const session = /^o=- (\S+)/m.exec(description?.sdp ?? '')?.[1] ?? '';
    const peer = this.peers.get(guest.id);
    if (peer?.session === session) return undefined;
    if (description?.type !== 'offer' || / s\d+ /.test(description.sdp)) return 'not-found';
    this.#end(guest.id);
    this.peers.set(guest.id, new FakeSfuPeer(session, (signal) => {
      const copy = structuredClone(signal);
      void wait(this.latency).then(() => guest.say('webrtc-signal', copy, 'sfu'));
    }));
    return undefined;
  }

  #forward(): void {
    for (const [id, { pc, session }] of this.peers) {
      pc.media = this.sfuMedia;
      // A client that closes its peer connection says so to the other end.
      if (!FakePeerConnection.all.has(session)) this.#end(id);
    }
    for (const [id, peer] of this.peers) {
      peer.forward([...this.peers].flatMap(([other, { published }]) => (other === id ? [] : published)));
    }
  }
}
