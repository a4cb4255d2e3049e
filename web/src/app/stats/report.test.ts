import { beforeAll, describe, expect, it } from 'vitest';
import type { CallStats, FeedQuality, PeerStats } from '../../client';
import { loadTexts } from '../i18n';
import { asText, largest, pictureText, reportOf, totals, why, type VideoStats } from './report';

beforeAll(() => loadTexts('room'));

const video = (more: Partial<VideoStats> = {}): VideoStats => ({
  direction: 'receive', participant: 'ann', source: 'camera', layer: '', width: 1280, height: 720, fps: 25, kbps: 1250, codec: 'VP8', lossRatio: 0, ...more,
});
const peer = (more: Partial<PeerStats> = {}): PeerStats => ({
  participant: 'ann', link: 'connected', quality: 'good', roundTripMs: 30, sendKbps: 300, receiveKbps: 400, lossRatio: 0.01, jitterMs: 4,
  protocol: 'udp', relayed: false, video: [], ...more,
});
const stats = (...peers: PeerStats[]): CallStats => ({ at: 0, peers });
const quality = (reason: FeedQuality['reason']): FeedQuality => ({ width: 640, height: 360, fps: 20, bitrate: 400_000, codec: 'VP8', layer: '2/3', reason });
const names: Record<string, string> = { ann: 'Ann', bob: 'Bob', me: 'Me (you)' };
const subject = (mode: 'mesh' | 'sfu', known: FeedQuality | null = null) => ({
  mode, nameOf: (participant: string) => names[participant] ?? '?', qualityOf: () => known,
});

describe('totals', () => {
  it('adds rates up and takes the worst of the rest', () => {
    const both = totals(stats(peer(), peer({ roundTripMs: 80, lossRatio: 0, jitterMs: null })));
    expect(both).toEqual({ sendKbps: 600, receiveKbps: 800, lossRatio: 0.01, roundTripMs: 80, jitterMs: 4 });
  });
  it('knows nothing without paths', () => expect(totals(stats())).toMatchObject({ receiveKbps: 0, roundTripMs: null, lossRatio: null }));
});

it.each([
  [video(), '1280×720 · 25 fps · 1.3 Mb/s · VP8'],
  [video({ kbps: 340, layer: '2/3' }), '1280×720 · 25 fps · 340 kb/s · VP8 · layer 2/3'],
  [video({ codec: '' }), '1280×720 · 25 fps · 1.3 Mb/s'],
])('a picture is %#', (given, text) => expect(pictureText(given)).toBe(text));

it('takes the largest of several sizes of one picture', () => {
  const sent = (layer: string, width: number) => video({ direction: 'send', participant: 'me', layer, width, height: width / 2 });
  const reading = stats(peer({ video: [sent('q', 320), sent('f', 1280), sent('h', 640), video()] }));
  expect(largest(reading, 'me', 'camera')?.layer).toBe('f');
  expect(largest(reading, 'me', 'screen')).toBeNull();
});

describe('why', () => {
  it.each(['full', 'size', 'hidden', 'bandwidth', 'server', 'publisher'] as const)('has words for %s', (reason) => {
    expect(why('sfu', quality(reason), 'Ann')).toMatch(/^[A-Z].+\.$/);
  });
  it('differs between browsers', () => expect(why('mesh', quality('bandwidth'), 'Ann')).toContain('straight from Ann'));
  it('admits what was not said', () => expect(why('sfu', null, 'Ann')).toContain('has not said'));
});

describe('reportOf', () => {
  it('names each path and whom a picture goes to, between browsers', () => {
    const mine = video({ direction: 'send', participant: 'me' });
    const report = reportOf(stats(peer({ video: [video(), mine] }), peer({ participant: 'bob', protocol: 'tcp', relayed: true, video: [mine] })), subject('mesh'));
    expect(report.paths).toEqual([{ name: 'Ann', text: 'UDP · 30 ms · 1%' }, { name: 'Bob', text: 'TCP, relayed · 30 ms · 1%' }]);
    expect(report.received.map(({ name }) => name)).toEqual(['Ann']);
    expect(report.sent.map(({ name }) => name)).toEqual(['Me (you), to Ann', 'Me (you), to Bob']);
    expect(report.facts.at(-1)?.value).toBe('UDP / TCP, relayed');
  });

  it('says through the server whose picture it is and what limits it', () => {
    const shared = video({ participant: 'bob', source: 'screen' });
    const report = reportOf(stats(peer({ participant: 'sfu', video: [video(), shared, video({ direction: 'send', participant: 'me', layer: 'h' })] })), subject('sfu', quality('bandwidth')));
    expect(report.paths).toEqual([]);
    expect(report.received.map(({ name }) => name)).toEqual(['Ann', 'Bob’s screen']);
    expect(report.received[0]?.why).toBe('Your connection carries no better picture.');
    expect(report.sent).toMatchObject([{ name: 'Me (you)', why: '' }]);
  });

  it('shows a dash for what is not known', () => {
    const report = reportOf(stats(peer({ roundTripMs: null, jitterMs: null, protocol: '' })), subject('mesh'));
    expect(report.facts.map(({ value }) => value)).toEqual(['400 kb/s', '300 kb/s', '1%', '–', '–', '–']);
  });

  it('is copied as lines', () => {
    const text = asText(reportOf(stats(peer({ video: [video()] })), subject('mesh')), ['room', 'now']);
    expect(text.split('\n').slice(0, 4)).toEqual(['room', 'now', 'Direct', 'Receiving: 400 kb/s']);
    expect(text).toContain('\n\nPictures received\n- Ann: 1280×720 · 25 fps · 1.3 Mb/s · VP8 (It comes straight');
    expect(text).not.toContain('Pictures sent');
  });
});
