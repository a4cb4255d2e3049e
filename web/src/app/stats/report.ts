import type { CallStats, FeedQuality, MediaMode, PeerStats, Source } from '../../client';
import { isolated, t, type MessageKey } from '../i18n';
import { bitrate, lossRate, milliseconds } from '../lib/numbers';

/** What a reading of the call says, in the words of the current language: what is shown and what is copied. */
export interface Report {
  readonly mode: string;
  readonly facts: readonly Fact[];
  /** One per path, where there is more than one: between browsers. */
  readonly paths: readonly { readonly name: string; readonly text: string }[];
  readonly received: readonly Picture[];
  readonly sent: readonly Picture[];
}

export interface Fact {
  readonly name: string;
  readonly value: string;
}

export interface Picture {
  readonly key: string;
  readonly name: string;
  readonly text: string;
  /** Why it is no better; empty for what is sent. */
  readonly why: string;
}

/** Whom and what a report speaks of. */
export interface Subject {
  readonly mode: MediaMode;
  nameOf(participant: string): string;
  qualityOf(participant: string, source: Source): FeedQuality | null;
}

export type VideoStats = PeerStats['video'][number];

const unknown = '–';

/** Over all paths: rates add up, of the rest the worst counts. */
export function totals({ peers }: CallStats) {
  const worst = (values: readonly (number | null)[]): number | null => {
    const known = values.filter((value) => value !== null);
    return known.length > 0 ? Math.max(...known) : null;
  };
  return {
    sendKbps: peers.reduce((sum, peer) => sum + peer.sendKbps, 0),
    receiveKbps: peers.reduce((sum, peer) => sum + peer.receiveKbps, 0),
    lossRatio: worst(peers.map((peer) => peer.lossRatio)),
    roundTripMs: worst(peers.map((peer) => peer.roundTripMs)),
    jitterMs: worst(peers.map((peer) => peer.jitterMs)),
  };
}

const perhaps = (value: number | null, text: (known: number) => string): string => (value === null ? unknown : text(value));

/** "UDP", "TCP, relayed". */
function pathText({ protocol, relayed }: PeerStats): string {
  if (protocol === '') return unknown;
  const name = protocol.toUpperCase();
  return relayed ? t('stats.relayed', { protocol: name }) : name;
}

const row = (parts: readonly string[]): string => parts.filter((part) => part !== '').map(isolated).join(' · ');

/** "1280×720 · 25 fps": where there is little room. */
export const sizeText = ({ width, height, fps }: VideoStats): string => row([`${width}×${height}`, t('stats.fps', { fps })]);

/** "1280×720 · 25 fps · 1.2 Mb/s · VP8 · layer 2/3": what there is of it. */
export function pictureText({ width, height, fps, kbps, codec, layer }: VideoStats): string {
  return row([`${width}×${height}`, t('stats.fps', { fps }), bitrate(kbps), codec, layer && t('stats.layer', { layer })]);
}

/** The largest of what is sent or received of one picture; null = nothing of it. */
export function largest({ peers }: CallStats, participant: string, source: Source): VideoStats | null {
  const all = peers.flatMap(({ video }) => video.filter((one) => one.participant === participant && one.source === source));
  return all.reduce<VideoStats | null>((best, one) => (best && best.width * best.height >= one.width * one.height ? best : one), null);
}

/** Why a picture is no better. */
export function why(mode: MediaMode, quality: FeedQuality | null, name: string): string {
  if (mode === 'mesh') return t('why.direct', { name });
  return quality ? t(`why.${quality.reason}`, { name }) : t('why.unknown');
}

export function reportOf(stats: CallStats, subject: Subject): Report {
  const { sendKbps, receiveKbps, lossRatio, roundTripMs, jitterMs } = totals(stats);
  const paths = [...new Set(stats.peers.map(pathText))].join(' / ');
  const pictures = (direction: VideoStats['direction']): Picture[] =>
    stats.peers.flatMap((peer) => peer.video.filter((one) => one.direction === direction).map((one) => pictureOf(peer, one, subject)));
  return {
    mode: t(`mode.${subject.mode}`),
    facts: [
      { name: t('stats.receiving'), value: bitrate(receiveKbps) },
      { name: t('stats.sending'), value: bitrate(sendKbps) },
      { name: t('stats.loss'), value: perhaps(lossRatio, lossRate) },
      { name: t('stats.roundTrip'), value: perhaps(roundTripMs, milliseconds) },
      { name: t('stats.jitter'), value: perhaps(jitterMs, milliseconds) },
      { name: t('stats.path'), value: paths || unknown },
    ],
    paths: stats.peers.length < 2 ? [] : stats.peers.map((peer) => ({ name: subject.nameOf(peer.participant), text: peerText(peer) })),
    received: pictures('receive'),
    sent: pictures('send'),
  };
}

function pictureOf({ participant: path }: PeerStats, video: VideoStats, { mode, nameOf, qualityOf }: Subject): Picture {
  const received = video.direction === 'receive';
  const name = nameOf(video.participant);
  const screen = received ? t('tile.screenOf', { name }) : t('tile.yourScreen');
  const title = video.source === 'screen' ? screen : name;
  return {
    key: [path, video.direction, video.participant, video.source, video.layer].join('/'),
    // Between browsers the same picture goes to each of the others.
    name: received || path === 'sfu' ? title : t('stats.to', { name: nameOf(path), picture: title }),
    text: pictureText(video),
    why: received ? why(mode, qualityOf(video.participant, video.source), nameOf(video.participant)) : '',
  };
}

function peerText(peer: PeerStats): string {
  return row([pathText(peer), perhaps(peer.roundTripMs, milliseconds), perhaps(peer.lossRatio, lossRate)]);
}

/** A report as lines of text, to be sent to whoever helps. */
export function asText(report: Report, head: readonly string[]): string {
  const picture = ({ name, text, why: reason }: Picture): string => `- ${name}: ${text}${reason && ` (${reason})`}`;
  const section = (key: MessageKey, lines: readonly string[]): string[] => (lines.length > 0 ? ['', t(key), ...lines] : []);
  return [
    ...head,
    report.mode,
    ...report.facts.map(({ name, value }) => `${name}: ${value}`),
    ...section('stats.paths', report.paths.map(({ name, text }) => `- ${name}: ${text}`)),
    ...section('stats.received', report.received.map(picture)),
    ...section('stats.sent', report.sent.map(picture)),
  ].join('\n');
}
