import type { PeerStats } from '../types';
import type { Source } from '../wire';
import type { Peer } from './peer';

/** What the next reading is compared with. */
export interface Reading {
  at: number;
  bytes: Map<string, number>;
  received: number;
  lost: number;
}

type Video = PeerStats['video'][number];

/** The fields that are read, of all kinds of statistics (W3C webrtc-stats). */
interface Entry {
  id: string;
  type: string;
  mid?: string;
  kind?: string;
  bytesSent?: number;
  bytesReceived?: number;
  packetsReceived?: number;
  packetsLost?: number;
  jitter?: number;
  frameWidth?: number;
  frameHeight?: number;
  framesPerSecond?: number;
  codecId?: string;
  mimeType?: string;
  currentRoundTripTime?: number;
  selectedCandidatePairId?: string;
  localCandidateId?: string;
  candidateType?: string;
  protocol?: string;
}

const kbps = (bytes: number, ms: number): number => (ms > 0 ? Math.max(0, Math.round((bytes * 8) / ms)) : 0);

/** One reading of getStats; rates are since `before`, 0 in the first one. */
export async function readStats(
  participant: string, peer: Peer, before: Reading | null, at: number,
): Promise<{ stats: PeerStats; reading: Reading }> {
  const entries = new Map<string, Entry>();
  (await peer.connection.getStats()).forEach((entry: Entry) => entries.set(entry.id, entry));
  const reading: Reading = { at, bytes: new Map(), received: 0, lost: 0 };
  const elapsed = before ? at - before.at : 0;
  const video: Video[] = [];
  let send = 0;
  let receive = 0;
  let jitter: number | null = null;
  for (const entry of entries.values()) {
    const outbound = entry.type === 'outbound-rtp';
    if (!outbound && entry.type !== 'inbound-rtp') continue;
    const bytes = (outbound ? entry.bytesSent : entry.bytesReceived) ?? 0;
    reading.bytes.set(entry.id, bytes);
    const rate = before ? kbps(bytes - (before.bytes.get(entry.id) ?? 0), elapsed) : 0;
    if (outbound) send += rate;
    else {
      receive += rate;
      reading.received += entry.packetsReceived ?? 0;
      reading.lost += entry.packetsLost ?? 0;
      if (entry.kind === 'audio' && entry.jitter !== undefined) jitter = Math.round(entry.jitter * 1000);
    }
    const source = peer.sourceOf(entry.mid ?? null);
    if (entry.kind === 'video' && source && (entry.frameWidth ?? 0) > 0) {
      video.push(videoOf(entry, outbound ? 'send' : 'receive', source, rate, entries.get(entry.codecId ?? '')?.mimeType));
    }
  }
  const received = reading.received - (before?.received ?? 0);
  const lost = Math.max(0, reading.lost - (before?.lost ?? 0));
  const lossRatio = received + lost > 0 ? lost / (received + lost) : 0;
  const { roundTripMs, protocol, relayed } = pathOf(entries);
  const link = peer.link.value;
  return {
    reading,
    stats: {
      participant, link, roundTripMs, protocol, relayed, lossRatio, video,
      sendKbps: send, receiveKbps: receive, jitterMs: jitter,
      quality: link !== 'connected' ? 'lost' : grade(roundTripMs ?? 0, lossRatio),
    },
  };
}

/** Thresholds of ITU-T G.114 for delay; loss as opus and VP8 conceal it. */
export function grade(roundTripMs: number, lossRatio: number): 'good' | 'fair' | 'poor' {
  if (roundTripMs > 500 || lossRatio > 0.08) return 'poor';
  return roundTripMs > 250 || lossRatio > 0.02 ? 'fair' : 'good';
}

function videoOf(entry: Entry, direction: Video['direction'], source: Source, rate: number, mimeType = ''): Video {
  return {
    direction, source, kbps: rate,
    width: entry.frameWidth ?? 0, height: entry.frameHeight ?? 0, fps: Math.round(entry.framesPerSecond ?? 0),
    codec: mimeType.replace('video/', ''),
  };
}

function pathOf(entries: ReadonlyMap<string, Entry>): Pick<PeerStats, 'roundTripMs' | 'protocol' | 'relayed'> {
  const transport = [...entries.values()].find((e) => e.type === 'transport' && e.selectedCandidatePairId);
  const pair = entries.get(transport?.selectedCandidatePairId ?? '');
  const local = entries.get(pair?.localCandidateId ?? '');
  const seconds = pair?.currentRoundTripTime;
  return {
    roundTripMs: seconds === undefined ? null : Math.round(seconds * 1000),
    protocol: local?.protocol ?? '',
    relayed: local?.candidateType === 'relay',
  };
}
