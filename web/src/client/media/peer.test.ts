import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakePeerConnection, FakeTrack, settlePaths } from '../testing/peer-connection';
import type { Signal, Source } from '../wire';
import { Peer } from './peer';

/** mulberry32: the same choices in every run of a seed. */
function random(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** One participant's side: its peer, what it sends, what it receives, and the relay towards the other. */
class Side {
  peer!: Peer;
  other!: Side;
  readonly sending = new Map<Source, FakeTrack | null>([['microphone', null], ['camera', null], ['screen', null], ['screen-audio', null]]);
  readonly received = new Map<Source, FakeTrack>();
  readonly signals: Signal[] = [];
  /** Milliseconds from us to the other, in order. */
  latency = () => 20;
  /** How often the peer has said that media does not pass. */
  unreachable = 0;
  /** What is sent is lost. */
  broken = false;
  #arrival = 0;
  readonly id: string;

  constructor(id: string) { this.id = id; }

  start(): void {
    this.received.clear();
    this.peer = new Peer({
      self: this.id,
      configuration: {},
      tracks: () => this.sending as unknown as ReadonlyMap<Source, MediaStreamTrack | null>,
      received: (_from, source, track) => {
        if (track) this.received.set(source, track as unknown as FakeTrack);
        else this.received.delete(source);
      },
      unreachable: () => { this.unreachable++; },
      send: (_to, signal) => {
        this.signals.push(signal);
        if (this.broken) return;
        // As it crosses the wire.
        const copy = JSON.parse(JSON.stringify(signal)) as Signal;
        this.#arrival = Math.max(this.#arrival, Date.now() + this.latency());
        setTimeout(() => this.other.peer.signal(copy), this.#arrival - Date.now());
      },
    }, this.other.id);
  }

  set(source: Source, on: boolean): void {
    this.sending.set(source, on ? new FakeTrack(source === 'camera' || source === 'screen' ? 'video' : 'audio') : null);
    this.peer.update();
  }

  get offers(): number { return this.signals.filter((s) => s.description?.type === 'offer').length; }
}

let a: Side;
let b: Side;

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('RTCPeerConnection', FakePeerConnection);
  FakePeerConnection.all.clear();
  FakePeerConnection.network = true;
  // a is polite.
  a = new Side('p-a');
  b = new Side('p-b');
  a.other = b;
  b.other = a;
});
afterEach(() => {
  a.peer.close();
  b.peer.close();
  expect(vi.getTimerCount()).toBeLessThan(20);
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const tick = (ms: number) => vi.advanceTimersByTimeAsync(ms);

/** Both connected, to each other, and each hears and sees exactly what the other sends. */
function expectWhole(): void {
  for (const [from, to] of [[a, b], [b, a]] as const) {
    const pc = from.peer.connection as unknown as FakePeerConnection;
    expect(from.peer.link.value).toBe('connected');
    expect(pc.partner).toBe(to.peer.connection as unknown as FakePeerConnection);
    expect(pc.signalingState).toBe('stable');
    for (const [source, track] of from.sending) {
      if (!track) continue;
      const outgoing = pc.getTransceivers().find((t) => t.sender.track === track);
      expect(outgoing, `${from.id} sends its ${source}`).toBeDefined();
      const incoming = (to.peer.connection as unknown as FakePeerConnection).getTransceivers().find((t) => t.mid === outgoing?.mid);
      expect(incoming?.receiver.track, `${to.id} receives ${source}`).toBe(to.received.get(source));
      expect(['sendrecv', 'sendonly']).toContain(outgoing?.currentDirection);
    }
  }
}

describe('the first connection', () => {
  it('needs one offer, carries both sides, and then no more for mute, camera or device', async () => {
    a.sending.set('microphone', new FakeTrack('audio'));
    b.sending.set('camera', new FakeTrack('video'));
    a.start();
    b.start();
    await tick(500);
    expectWhole();
    expect([a.offers, b.offers]).toEqual([1, 0]);
    a.set('camera', true);
    a.set('microphone', true);
    b.set('camera', false);
    b.set('microphone', true);
    await tick(500);
    expectWhole();
    expect([a.offers, b.offers]).toEqual([1, 0]);
  });

  it('works whoever is there first, and with a share that was on before', async () => {
    b.start();
    a.sending.set('screen', new FakeTrack('video'));
    b.sending.set('screen', new FakeTrack('video'));
    b.sending.set('screen-audio', new FakeTrack('audio'));
    // The offer waits in the relay until a has joined.
    b.latency = () => 700;
    setTimeout(() => a.start(), 600);
    await tick(3_000);
    expectWhole();
  });

  it('recovers when the first offer is lost', async () => {
    b.broken = true;
    a.start();
    b.start();
    await tick(5_000);
    b.broken = false;
    await tick(20_000);
    expectWhole();
  });
});

describe('glare', () => {
  it('two shares in the same moment both arrive', async () => {
    a.start();
    b.start();
    await tick(500);
    a.set('screen', true);
    b.set('screen', true);
    await tick(1_000);
    expectWhole();
  });

  it('two ICE restarts in the same moment, and one together with a share', async () => {
    a.start();
    b.start();
    await tick(500);
    a.peer.restart();
    b.peer.restart();
    await tick(2_000);
    expectWhole();
    a.peer.restart();
    b.set('screen', true);
    await tick(2_000);
    expectWhole();
    b.peer.restart();
    a.set('screen', true);
    await tick(2_000);
    expectWhole();
  });

  it('the polite side offering first as both come up', async () => {
    b.broken = true;
    a.start();
    b.start();
    // a gives up waiting and offers by itself while b does so too.
    await tick(13_990);
    b.broken = false;
    await tick(30_000);
    expectWhole();
  });
});

describe('a path that breaks', () => {
  it('is restarted some seconds after disconnected, with a higher generation', async () => {
    a.start();
    b.start();
    await tick(500);
    const before = b.signals.at(-1)?.generation ?? 0;
    FakePeerConnection.network = false;
    settlePaths();
    expect(b.peer.link.value).toBe('interrupted');
    await tick(2_900);
    expect(b.offers).toBe(0);
    FakePeerConnection.network = true;
    await tick(1_000);
    expectWhole();
    expect(b.signals.at(-1)?.generation).toBe(before + 1);
  });

  it('is made anew when the other side has begun again with an empty memory', async () => {
    a.start();
    b.start();
    await tick(500);
    b.peer.restart();
    await tick(500);
    // b forgets all (as after 15 s of absence), a does not know.
    b.peer.close();
    b.start();
    await tick(5_000);
    expectWhole();
    a.peer.close();
    a.start();
    await tick(30_000);
    expectWhole();
  });

  it('resumes when an answer was lost with the connection', async () => {
    a.start();
    b.start();
    await tick(500);
    a.broken = true;
    b.set('screen', true);
    await tick(500);
    a.broken = false;
    a.peer.resume();
    b.peer.resume();
    await tick(1_000);
    expectWhole();
  });

  it('takes every signal twice without harm', async () => {
    for (const side of [a, b]) {
      side.start();
    }
    const repeat = setInterval(() => {
      for (const side of [a, b]) for (const s of side.signals.slice(-6)) side.other.peer.signal(JSON.parse(JSON.stringify(s)) as Signal);
    }, 35);
    await tick(300);
    b.set('screen', true);
    await tick(300);
    a.set('screen', true);
    await tick(300);
    clearInterval(repeat);
    await tick(3_000);
    expectWhole();
  });

  it('says so once when signals pass and media does not', async () => {
    FakePeerConnection.network = false;
    a.start();
    b.start();
    await tick(14_000);
    expect([a.unreachable, b.unreachable]).toEqual([0, 0]);
    await tick(300_000);
    expect(Math.max(a.unreachable, b.unreachable)).toBe(1);
  });

  it('stops trying so often when nobody answers', async () => {
    b.broken = true;
    a.broken = true;
    a.start();
    b.start();
    await tick(600_000);
    expect(b.peer.link.value).toBe('failed');
    expect(b.offers).toBeLessThan(20);
    // Who does not answer at all may not want a call.
    expect(b.unreachable).toBe(0);
  });
});

describe('anything, in any order', () => {
  it.each(Array.from({ length: 60 }, (_, i) => i + 1))('seed %i ends with a whole call', async (seed) => {
    const next = random(seed);
    const delay = () => Math.floor(next() * 120);
    a.latency = delay;
    b.latency = delay;
    a.start();
    b.start();
    const sources: Source[] = ['microphone', 'camera', 'screen', 'screen-audio'];
    for (let step = 0; step < 40; step++) {
      const side = next() < 0.5 ? a : b;
      const roll = next();
      if (roll < 0.6) side.set(sources[Math.floor(next() * 4)] as Source, next() < 0.7);
      else if (roll < 0.75) side.peer.restart();
      else if (roll < 0.8) {
        // A connection dies: what is sent in this time is lost, then both resume.
        side.broken = true;
        setTimeout(() => {
          side.broken = false;
          a.peer.resume();
          b.peer.resume();
        }, 300);
      } else if (roll < 0.84) {
        side.peer.close();
        side.start();
      } else if (roll < 0.9) {
        FakePeerConnection.network = false;
        settlePaths();
        setTimeout(() => { FakePeerConnection.network = true; settlePaths(); }, 1_000);
      }
      await tick(Math.floor(next() * 250));
    }
    a.broken = false;
    b.broken = false;
    await tick(1_500);
    FakePeerConnection.network = true;
    settlePaths();
    await tick(90_000);
    expectWhole();
  });
});
