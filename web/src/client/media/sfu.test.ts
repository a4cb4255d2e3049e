import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { House, type Guest } from '../testing/house';
import { FakePeerConnection, FakeStream, settlePaths } from '../testing/peer-connection';
import type { Source } from '../wire';
// Loaded at once, so that the fake clock need not wait for the loader.
import './level';
import './sfu';
import './stats';

let house: House;

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('RTCPeerConnection', FakePeerConnection);
  vi.stubGlobal('MediaStream', FakeStream);
  stubPage();
  FakePeerConnection.all.clear();
  FakePeerConnection.network = true;
  house = new House();
});
afterEach(() => {
  house.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const tick = async (ms: number): Promise<void> => {
  await vi.dynamicImportSettled();
  await vi.advanceTimersByTimeAsync(ms);
};

/* ---------------------------------------------------------------- a page */

class FakeElement {
  clientWidth = 640;
  clientHeight = 360;
  muted = false;
  srcObject: unknown = null;
  ownerDocument = page;
  play(): Promise<void> { return Promise.resolve(); }
}
const page = Object.assign(new EventTarget(), { visibilityState: 'visible', pictureInPictureElement: null });
let observers: FakeObserver[] = [];
class FakeObserver {
  readonly targets = new Set<unknown>();
  readonly #tell: (entries: object[]) => void;
  constructor(tell: (entries: object[]) => void) {
    this.#tell = tell;
    observers.push(this);
  }
  observe(target: unknown): void { this.targets.add(target); this.fire(target, true); }
  unobserve(target: unknown): void { this.targets.delete(target); }
  disconnect(): void { this.targets.clear(); }
  fire(target: unknown, isIntersecting: boolean): void {
    if (this.targets.has(target)) queueMicrotask(() => this.#tell([{ target, isIntersecting }]));
  }
}
function stubPage(): void {
  observers = [];
  page.visibilityState = 'visible';
  vi.stubGlobal('document', page);
  vi.stubGlobal('ResizeObserver', FakeObserver);
  vi.stubGlobal('IntersectionObserver', FakeObserver);
}
const observed = (target: unknown, isIntersecting = true): void => { for (const one of observers) one.fire(target, isIntersecting); };
const show = (guest: Guest, of: Guest, source: Source = 'camera'): FakeElement => {
  const element = new FakeElement();
  guest.feed(of, source)?.attach(element as unknown as HTMLMediaElement);
  return element;
};

/* ---------------------------------------------------------------- what must hold */

/** Each has of each other exactly what that one sends, and a path to it. */
function expectWhole(...guests: Guest[]): void {
  for (const one of guests) {
    for (const other of guests) {
      if (one === other) continue;
      const sent = other.media.feeds.value.map((feed) => feed.source).sort();
      expect(one.view(other).feeds.value.map((feed) => feed.source).sort(), `${one.id} has of ${other.id}`).toEqual(sent);
      expect(one.view(other).link.value, `link of ${one.id} to ${other.id}`).toBe('connected');
    }
  }
}

const open = (): FakePeerConnection[] => [...FakePeerConnection.all.values()];
/** Of somebody's side of the call, the newest peer connection. */
const newest = (guest: Guest): FakePeerConnection | undefined => {
  const session = /^o=- (\S+)/m.exec(guest.offers('sfu').at(-1)?.description?.sdp ?? '')?.[1] ?? '';
  return FakePeerConnection.all.get(session);
};
const encodings = (guest: Guest, mid: string): RTCRtpEncodingParameters[] =>
  newest(guest)?.getTransceivers().find((t) => t.mid === mid)?.sender.parameters.encodings ?? [];
const readies = (guest: Guest): object[] => guest.sent.filter(({ signal }) => signal.ready).map(({ to, signal: { generation } }) => ({ to, generation }));

async function call(...ids: string[]): Promise<Guest[]> {
  const guests: Guest[] = [];
  for (const id of ids) guests.push(await house.enter(id));
  await tick(1_000);
  expectWhole(...guests);
  return guests;
}

describe('the connection with the SFU', () => {
  beforeEach(() => { house.mode = 'sfu'; });

  it('is one each, with no pairs, and names what it sends', async () => {
    const [a] = (await call('p-a', 'p-b')) as [Guest, Guest];
    expect(open()).toHaveLength(4);
    expect(a.sent.some(({ to }) => to !== 'sfu')).toBe(false);
    expect(a.offers('sfu')).toMatchObject([
      { generation: 1, tracks: { 0: { participant: 'p-a', source: 'microphone' }, 1: { participant: 'p-a', source: 'camera' } } },
    ]);
  });

  it('takes switches without an offer, and a screen with one', async () => {
    const [a, b] = (await call('p-a', 'p-b')) as [Guest, Guest];
    a.media.set('camera', false);
    await tick(500);
    const camera = a.media.set('camera', true);
    await tick(500);
    expect(a.offers('sfu')).toHaveLength(1);
    expect(newest(a)?.getTransceivers()[1]?.sender.track).toBe(camera);
    a.media.set('screen', true);
    await tick(500);
    expectWhole(a, b);
    expect(a.offers('sfu')).toHaveLength(2);
  });

  it('trusts the newest description, not the section: it may carry somebody else now', async () => {
    const [a, b] = (await call('p-a', 'p-b')) as [Guest, Guest];
    const before = a.feed(b, 'camera');
    const track = before?.track;
    house.leave(b);
    await tick(500);
    const c = await house.enter('p-c');
    await tick(1_000);
    expectWhole(a, c);
    expect(a.feed(c, 'camera')?.track).toBe(track);
    expect(a.feed(c, 'camera')).not.toBe(before);
  });

  it('gives way when offers meet, and offers again', async () => {
    const [a, b] = (await call('p-a', 'p-b')) as [Guest, Guest];
    b.media.set('screen', true);
    a.media.set('screen', true);
    await tick(60);
    a.media.set('screen-audio', true);
    b.media.set('screen-audio', true);
    await tick(1_000);
    expectWhole(a, b);
  });

  it('takes a refused offer back, and makes none before something changes', async () => {
    const [a, b] = (await call('p-a', 'p-b')) as [Guest, Guest];
    a.refusals.push('too-large');
    a.media.set('screen', true);
    await tick(5_000);
    expect(a.offers('sfu')).toHaveLength(2);
    expect(newest(a)?.signalingState).toBe('stable');
    a.media.set('screen-audio', true);
    await tick(1_000);
    expect(a.offers('sfu')).toHaveLength(3);
    expectWhole(a, b);
  });

  it('is made anew when the SFU does not know it any more', async () => {
    const [a, b] = (await call('p-a', 'p-b')) as [Guest, Guest];
    const first = newest(a);
    house.restart();
    settlePaths();
    expect(a.room.participants.value.map((p) => p.link.value)).toContain('interrupted');
    // Restarted after 3 s, refused, and made anew at once.
    await tick(5_000);
    expectWhole(a, b);
    expect(newest(a)).not.toBe(first);
    expect(a.offers('sfu').map(({ generation }) => generation)).toEqual([1, 2, 3]);
  });

  it('does not knock all the time at an SFU that refuses everything', async () => {
    house.mode = 'mesh';
    const a = await house.enter('p-a');
    a.refusals.push(...Array.from({ length: 100 }, () => 'not-found'));
    house.change('sfu');
    await tick(120_000);
    expect(a.offers('sfu').length).toBeGreaterThan(2);
    expect(a.offers('sfu').length).toBeLessThan(8);
  });

  it('is made anew when the browser cannot go on with it', async () => {
    const [a, b] = (await call('p-a', 'p-b')) as [Guest, Guest];
    const first = newest(a) as FakePeerConnection;
    first.setLocalDescription = () => Promise.reject(new Error('InvalidAccessError'));
    a.media.set('screen', true);
    await tick(2_000);
    expect(newest(a)).not.toBe(first);
    expectWhole(a, b);
  });

  it('is restarted 3 s after it was interrupted', async () => {
    const [a, b] = (await call('p-a', 'p-b')) as [Guest, Guest];
    const first = newest(a);
    FakePeerConnection.network = false;
    settlePaths();
    await tick(2_900);
    expect(a.offers('sfu')).toHaveLength(1);
    FakePeerConnection.network = true;
    await tick(1_500);
    expectWhole(a, b);
    expect(newest(a)).toBe(first);
    expect(a.offers('sfu').at(-1)?.generation).toBe(2);
  });

  it.each(['its offer', 'the answer'])('comes up when %s was lost with the connection', async (what) => {
    const [a, b] = (await call('p-a', 'p-b')) as [Guest, Guest];
    a.media.set('screen', true);
    await tick(what === 'its offer' ? 2 : 8);
    a.server.socket.deaf = true;
    await tick(200);
    a.server.socket.end(1006);
    await tick(3_000);
    expectWhole(a, b);
  });

  it('sends nothing that one may not publish', async () => {
    house.grants.publish = [];
    const a = await house.enter('p-a');
    house.grants.publish = ['microphone', 'camera'];
    const b = await house.enter('p-b');
    await tick(1_000);
    expect(newest(a)?.getTransceivers().slice(0, 2).map((t) => t.direction)).toEqual(['inactive', 'inactive']);
    expect(a.feed(b, 'camera')).toBeDefined();
    expect(b.view(a).link.value).toBe('none');
  });
});

describe('what is published', () => {
  beforeEach(() => { house.mode = 'sfu'; });

  it('is a camera in three sizes, a screen in one', async () => {
    const [a] = (await call('p-a')) as [Guest];
    expect(encodings(a, '1')).toEqual([
      { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 150_000, active: true },
      { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 500_000, active: true },
      { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 1_700_000, active: true },
    ]);
    a.media.set('screen', true);
    await tick(200);
    expect(encodings(a, '2')).toEqual([{ maxBitrate: 4_000_000, active: true }]);
  });

  it('is only what somebody receives', async () => {
    const [a] = (await call('p-a')) as [Guest];
    const sizes = () => encodings(a, '1').map(({ active, maxBitrate }) => (active ? maxBitrate : 0));
    a.say('publish-media', { source: 'camera', layers: 2, bitrate: 300_000 }, 'sfu');
    await tick(10);
    expect(sizes()).toEqual([150_000, 300_000, 0]);
    a.say('publish-media', { source: 'camera', layers: 0 }, 'sfu');
    await tick(10);
    expect(sizes()).toEqual([0, 0, 0]);
    // Another device gets the same.
    a.media.set('camera', true);
    await tick(10);
    expect(sizes()).toEqual([0, 0, 0]);
    a.say('publish-media', { source: 'camera', layers: 3 }, 'sfu');
    await tick(10);
    expect(sizes()).toEqual([150_000, 500_000, 1_700_000]);
  });

  it('has as many sizes as the camera is good for, the largest one whole', async () => {
    const [a] = (await call('p-a')) as [Guest];
    const small = a.media.set('camera', true);
    small.getSettings = () => ({ width: 640, height: 480 });
    await tick(10);
    expect(encodings(a, '1').map(({ active, scaleResolutionDownBy }) => [active, scaleResolutionDownBy])).toEqual([[true, 2], [true, 1], [false, 1]]);
  });
});

describe('what is asked for', () => {
  beforeEach(() => { house.mode = 'sfu'; });
  const asked = (guest: Guest) => guest.server.sent('subscribe-media').map(({ data }) => data as { enabled: boolean; width?: number });

  it('is as large as it is shown, and not more often than it matters', async () => {
    const [a, b] = (await call('p-a', 'p-b')) as [Guest, Guest];
    vi.stubGlobal('devicePixelRatio', 2);
    const element = show(a, b);
    await tick(0);
    expect(asked(a).at(-1)).toEqual({ participant: 'p-b', source: 'camera', enabled: true, width: 1280, height: 720 });
    const before = asked(a).length;
    element.clientWidth = 660;
    observed(element);
    await tick(1_000);
    expect(asked(a)).toHaveLength(before);
    for (let width = 100; width < 640; width += 20) {
      element.clientWidth = width;
      observed(element);
      await tick(50);
    }
    await tick(1_000);
    expect(asked(a).length - before).toBeLessThanOrEqual(5);
    expect(asked(a).at(-1)).toMatchObject({ width: 1240 });
  });

  it('stops 2 s after nobody can see it, and comes back at once', async () => {
    const [a, b] = (await call('p-a', 'p-b')) as [Guest, Guest];
    const element = show(a, b);
    await tick(100);
    observed(element, false);
    await tick(1_900);
    expect(asked(a).at(-1)).toMatchObject({ enabled: true });
    await tick(200);
    expect(asked(a).at(-1)).toEqual({ participant: 'p-b', source: 'camera', enabled: false });
    observed(element);
    await tick(1);
    expect(asked(a).at(-1)).toMatchObject({ enabled: true, width: 640 });
    page.visibilityState = 'hidden';
    page.dispatchEvent(new Event('visibilitychange'));
    await tick(2_100);
    expect(asked(a).at(-1)).toMatchObject({ enabled: false });
    page.visibilityState = 'visible';
    page.dispatchEvent(new Event('visibilitychange'));
    await tick(1);
    expect(asked(a).at(-1)).toMatchObject({ enabled: true });
  });

  it('is narrow with low bandwidth, but for screens', async () => {
    const [a, b] = (await call('p-a', 'p-b')) as [Guest, Guest];
    b.media.set('screen', true);
    await tick(1_000);
    show(a, b);
    show(a, b, 'screen');
    await tick(600);
    a.room.setLowBandwidth(true);
    await tick(600);
    expect(asked(a).at(-1)).toEqual({ participant: 'p-b', source: 'camera', enabled: true, width: 320, height: 180 });
    a.room.setLowBandwidth(false);
    await tick(600);
    expect(asked(a).at(-1)).toMatchObject({ source: 'camera', width: 640 });
    expect(asked(a).filter((one) => one.width === 320)).toHaveLength(1);
  });

  it('is said again to an SFU that has begun anew', async () => {
    const [a, b] = (await call('p-a', 'p-b')) as [Guest, Guest];
    show(a, b);
    await tick(600);
    const before = asked(a).length;
    house.restart();
    settlePaths();
    await tick(6_000);
    show(a, b);
    await tick(600);
    expectWhole(a, b);
    expect(asked(a).slice(before)).toContainEqual({ participant: 'p-b', source: 'camera', enabled: true, width: 640, height: 360 });
  });
});

describe('what the SFU says', () => {
  it('of quality is on the feed, of speakers on the room', async () => {
    house.mode = 'sfu';
    const [a, b] = (await call('p-a', 'p-b')) as [Guest, Guest];
    a.say('media-quality', { participant: 'p-b', source: 'camera', width: 640, height: 360, fps: 30, bitrate: 500_000, layer: '2/3', reason: 'size' }, 'sfu');
    expect(a.feed(b, 'camera')?.quality.value).toEqual({ width: 640, height: 360, fps: 30, bitrate: 500_000, codec: '', layer: '2/3', reason: 'size' });
    a.say('active-speakers', { speakers: [{ participant: 'p-b', level: 0.9 }, { participant: 'p-a', level: 0.5 }, { participant: 'p-x', level: 0.1 }] }, 'sfu');
    expect(a.room.speakers.value.map((p) => p.id)).toEqual(['p-b', 'p-a']);
  });
});

describe('who is heard', () => {
  it('is measured of what is received, and ranked here as long as no server does', async () => {
    const [a, b, c] = (await call('p-a', 'p-b', 'p-c')) as [Guest, Guest, Guest];
    const loud = (of: Guest, audioLevel: number): void => {
      const track = a.feed(of, 'microphone')?.track;
      const receiver = open().flatMap((pc) => pc.getTransceivers()).find((t) => (t.receiver.track as unknown) === track)?.receiver;
      if (receiver) receiver.getSynchronizationSources = () => [{ audioLevel }];
    };
    loud(b, 0.1);
    loud(c, 0.5);
    await tick(1_000);
    expect(a.view(c).level.value).toBeGreaterThan(a.view(b).level.value);
    expect(a.view(b).speaking.value).toBe(true);
    expect(a.room.speakers.value.map((p) => p.id)).toEqual(['p-c', 'p-b']);
    loud(c, 0);
    await tick(1_000);
    expect(a.room.speakers.value.map((p) => p.id)).toEqual(['p-b']);
    // By the new way just the same.
    house.change('sfu');
    await tick(3_000);
    loud(b, 0.5);
    await tick(1_000);
    expect(a.view(b).speaking.value).toBe(true);
  });
});

describe('statistics', () => {
  it('have one path to the server, with whose picture it is and in which size', async () => {
    house.mode = 'sfu';
    const [a, b] = (await call('p-a', 'p-b')) as [Guest, Guest];
    a.say('media-quality', { participant: 'p-b', source: 'camera', width: 320, height: 180, fps: 10, bitrate: 1, layer: '1/3', reason: 'size' }, 'sfu');
    const pc = newest(a) as FakePeerConnection;
    const mid = pc.getTransceivers().find((t) => (t.receiver.track as unknown) === a.feed(b, 'camera')?.track)?.mid;
    let bytes = 0;
    pc.getStats = async () => {
      bytes += 10_000;
      const video = { kind: 'video', frameWidth: 320, frameHeight: 180, framesPerSecond: 10, codecId: 'c' };
      return new Map<string, object>(Object.entries({
        c: { id: 'c', type: 'codec', mimeType: 'video/VP8' },
        o: { id: 'o', type: 'outbound-rtp', mid: '1', rid: 'q', bytesSent: bytes, ...video },
        r: { id: 'r', type: 'remote-inbound-rtp', localId: 'o', fractionLost: 0.25 },
        i: { id: 'i', type: 'inbound-rtp', mid, bytesReceived: 2 * bytes, packetsReceived: bytes / 100, packetsLost: bytes / 400, ...video },
      }));
    };
    await tick(0);
    await a.room.stats();
    vi.setSystemTime(Date.now() + 1_000);
    const { peers } = await a.room.stats();
    expect(peers).toHaveLength(1);
    expect(peers[0]).toMatchObject({ participant: 'sfu', link: 'connected', sendKbps: 80, receiveKbps: 160, lossRatio: 0.2 });
    expect(peers[0]?.video).toEqual([
      { direction: 'send', participant: 'p-a', source: 'camera', layer: 'q', width: 320, height: 180, fps: 10, kbps: 80, codec: 'VP8', lossRatio: 0.25 },
      { direction: 'receive', participant: 'p-b', source: 'camera', layer: '1/3', width: 320, height: 180, fps: 10, kbps: 160, codec: 'VP8', lossRatio: 0.2 },
    ]);
  });

  it('have one path to each participant between browsers', async () => {
    const [a] = (await call('p-a', 'p-b', 'p-c')) as [Guest];
    expect((await a.room.stats()).peers.map(({ participant, link }) => [participant, link])).toEqual([['p-b', 'connected'], ['p-c', 'connected']]);
  });
});

describe('a change of the way', () => {
  it('to the SFU keeps every feed, and what was between two ends when both have all', async () => {
    const [a, b, c] = (await call('p-a', 'p-b', 'p-c')) as [Guest, Guest, Guest];
    const feeds = [a.feed(b, 'camera'), b.feed(c, 'microphone')];
    const tracks = feeds.map((feed) => feed?.track);
    // Nothing comes by the new way yet.
    house.sfuMedia = false;
    house.change('sfu');
    await tick(2_000);
    expectWhole(a, b, c);
    expect([a.feed(b, 'camera')?.track, b.feed(c, 'microphone')?.track]).toEqual(tracks);
    expect(readies(a)).toEqual([]);
    house.sfuMedia = true;
    await tick(2_000);
    expectWhole(a, b, c);
    expect([a.feed(b, 'camera'), b.feed(c, 'microphone')]).toEqual(feeds);
    expect(a.feed(b, 'camera')?.track).not.toBe(tracks[0]);
    expect(feeds[0]?.stream.getTracks()).toEqual([feeds[0]?.track]);
    expect(readies(a)).toEqual([{ to: 'p-b', generation: 0 }, { to: 'p-c', generation: 0 }]);
    // One each, and the SFU's three.
    expect(open()).toHaveLength(6);
  });

  it('to browser to browser ends the connection with the SFU when everyone has all', async () => {
    house.mode = 'sfu';
    const [a, b, c] = (await call('p-a', 'p-b', 'p-c')) as [Guest, Guest, Guest];
    const feed = a.feed(b, 'camera');
    a.say('media-quality', { participant: 'p-b', source: 'camera', width: 640, height: 360, fps: 30, bitrate: 1, reason: 'full' }, 'sfu');
    house.change('mesh');
    await tick(3_000);
    expectWhole(a, b, c);
    expect(a.feed(b, 'camera')).toBe(feed);
    expect(feed?.quality.value).toBeNull();
    expect(readies(a)).toEqual([{ to: 'p-b', generation: 1 }, { to: 'p-c', generation: 1 }]);
    expect([newest(a), newest(b), newest(c)]).toEqual([undefined, undefined, undefined]);
  });

  it('and back before it is done goes on with what there is', async () => {
    const [a, b] = (await call('p-a', 'p-b')) as [Guest, Guest];
    for (let i = 0; i < 5; i++) {
      house.change('sfu');
      await tick(60 + 40 * i);
      expectWhole(a, b);
      house.change('mesh');
      await tick(40 + 60 * i);
      expectWhole(a, b);
    }
    await tick(12_000);
    expectWhole(a, b);
    expect(open()).toHaveLength(2);
  });

  it('is over after 10 s, whoever says nothing', async () => {
    const [a, b] = (await call('p-a', 'p-b')) as [Guest, Guest];
    house.lost = ({ ready }) => ready === true;
    house.change('sfu');
    await tick(9_500);
    expect(open()).toHaveLength(6);
    await tick(1_000);
    expect(open()).toHaveLength(4);
    expectWhole(a, b);
    house.change('mesh');
    await tick(11_000);
    expect(open()).toHaveLength(2);
    expectWhole(a, b);
  });

  it('does not wait for what is off, nor for what nobody looks at', async () => {
    const [a, b] = (await call('p-a', 'p-b')) as [Guest, Guest];
    b.media.set('camera', false);
    await tick(200);
    house.change('sfu');
    await tick(2_000);
    expect(open()).toHaveLength(4);
    expectWhole(a, b);
  });

  it('finds one who comes in the middle by the new way only', async () => {
    const [a, b] = (await call('p-a', 'p-b')) as [Guest, Guest];
    house.change('sfu');
    const c = await house.enter('p-c');
    await tick(3_000);
    expectWhole(a, b, c);
    expect(c.sent.filter(({ to }) => to !== 'sfu')).toEqual([]);
    expect(a.sent.filter(({ to }) => to === 'p-c')).toEqual([]);
  });

  it('goes on when somebody leaves in the middle', async () => {
    const [a, b, c] = (await call('p-a', 'p-b', 'p-c')) as [Guest, Guest, Guest];
    house.lost = ({ ready }, from) => ready === true && from === 'p-c';
    house.change('sfu');
    await tick(2_000);
    house.leave(c);
    await tick(100);
    expectWhole(a, b);
    expect(open()).toHaveLength(4);
  });

  it('is asked for once when a pair cannot connect', async () => {
    const a = await house.enter('p-a');
    const b = await house.enter('p-b');
    FakePeerConnection.network = false;
    await tick(300_000);
    for (const guest of [a, b]) expect(guest.server.sent('media-mode').map(({ data }) => data)).toEqual([{ mode: 'sfu', reason: 'unreachable' }]);
  });

  it('is not asked for where there is no SFU', async () => {
    house.setup = {};
    const a = await house.enter('p-a');
    const b = await house.enter('p-b');
    FakePeerConnection.network = false;
    await tick(90_000);
    expect([a, b].flatMap((guest) => guest.server.sent('media-mode'))).toEqual([]);
  });
});

describe('credentials of relays', () => {
  /** What the server issues next; those of guests who ask. */
  const issue = (...guests: Guest[]): void => {
    house.setup = { ...house.setup, ttl: 600, iceServers: [{ urls: ['turn:new'] }] };
    for (const guest of guests) {
      guest.server.answers.set('ice-servers', (message) => [
        { type: 'ice-servers', id: message.id, room: 'daily', data: { iceServers: [{ urls: ['turn:new'] }], ttl: 600 } },
      ]);
    }
  };
  const old = { sfu: true, ttl: 600, iceServers: [{ urls: ['turn:old'] }] };
  const configured = (): unknown[] => open().map(({ configuration }) => configuration.iceServers?.[0]?.urls);

  it.each(['mesh', 'sfu'] as const)('have what goes by a relay change over before they end (%s)', async (mode) => {
    house.mode = mode;
    house.setup = old;
    const guests = (await call('p-a', 'p-b')) as [Guest, Guest];
    const to = (guest: Guest): string => (mode === 'sfu' ? 'sfu' : guests.filter((other) => other !== guest)[0]?.id ?? '');
    const offers = (): number[] => guests.map((guest) => guest.offers(to(guest)).length);
    issue(...guests);
    const before = offers();
    const [relayed] = open();
    for (const one of open()) one.relayed = true;
    await tick(478_000);
    expect(offers()).toEqual(before);
    await tick(35_000);
    const more = offers().map((count, at) => count - (before[at] ?? 0));
    // Of a pair the impolite one, once; with the SFU each.
    expect(more).toEqual(mode === 'sfu' ? [1, 1] : [0, 1]);
    // The same connections, all with what is new; the SFU's side of one knows no relays.
    expect(open()).toContain(relayed);
    expect(configured().filter(Boolean).every((urls) => JSON.stringify(urls) === '["turn:new"]')).toBe(true);
    expectWhole(...guests);
  });

  it('leave alone what needs no relay, but for its next restart', async () => {
    house.setup = old;
    const [a, b] = (await call('p-a', 'p-b')) as [Guest, Guest];
    issue(a, b);
    const before = [a.offers('p-b').length, b.offers('p-a').length];
    await tick(540_000);
    expect([a.offers('p-b').length, b.offers('p-a').length]).toEqual(before);
    expect(configured()).toEqual([['turn:new'], ['turn:new']]);
  });

  it('are asked for again when there is no answer', async () => {
    house.setup = old;
    const a = await house.enter('p-a');
    let asked = 0;
    a.server.answers.set('ice-servers', (message) => {
      asked++;
      return [{ type: 'error', id: message.id, room: 'daily', data: { code: 'forbidden', message: '', retryable: false } }];
    });
    await tick(481_000);
    expect(asked).toBe(1);
    await tick(30_000);
    expect(asked).toBe(2);
  });

  it('of another joined take the place of those that are due, also after a sleep', async () => {
    house.mode = 'sfu';
    house.setup = old;
    const [a] = (await call('p-a', 'p-b')) as [Guest, Guest];
    for (const one of open()) one.relayed = true;
    const before = a.offers('sfu').length;
    issue(a);
    a.server.sockets.at(-1)?.end(1006);
    await tick(3_000);
    expect(a.offers('sfu').length, 'those of before are good').toBe(before);
    // A clock that goes on while timers do not.
    a.server.sockets.at(-1)?.end(1006);
    vi.setSystemTime(Date.now() + 590_000);
    await tick(3_000);
    expect(a.offers('sfu').length).toBe(before + 1);
    expect(newest(a)?.configuration.iceServers).toEqual([{ urls: ['turn:new'] }]);
  });

  it('are renewed when four fifths of their time are over, and again', async () => {
    house.setup = { ttl: 600, iceServers: [{ urls: ['turn:a'] }] };
    const a = await house.enter('p-a');
    let servers = 0;
    a.server.answers.set('ice-servers', (message) => [
      { type: 'ice-servers', id: message.id, room: 'daily', data: { iceServers: [{ urls: [`turn:${++servers}`] }], ttl: 100 } },
    ]);
    await tick(479_000);
    expect(servers).toBe(0);
    await tick(2_000);
    expect(servers).toBe(1);
    await tick(80_000);
    expect(servers).toBe(2);
    await house.enter('p-b');
    await tick(10);
    expect(open().map(({ configuration }) => configuration.iceServers)).toContainEqual([{ urls: ['turn:2'] }]);
  });
});
