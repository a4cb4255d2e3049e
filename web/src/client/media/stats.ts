import type { CallStats, LinkState, PeerStats } from '../types';
import type { Source } from '../wire';
import type { Call } from './call';
import type { Tracks } from './peer';

/** A peer connection and what it carries. */
export interface Path {
  readonly connection: RTCPeerConnection;
  readonly link: { readonly value: LinkState };
  /** Media sections by which we send; those of microphone and camera can carry the other side's too. */
  readonly senders: ReadonlyMap<Source, RTCRtpTransceiver>;
  /** What the others' sections carry. */
  readonly labels: Tracks;
}

/** What the next reading is compared with. */
interface Reading {
  at: number;
  /** Of each stream, by the id of its entry. */
  streams: Map<string, Counts>;
}

interface Counts { readonly bytes: number; readonly received: number; readonly lost: number }

type Video = PeerStats['video'][number];

/** The fields that are read, of all kinds of statistics (W3C webrtc-stats). */
interface Entry {
  id: string;
  type: string;
  mid?: string;
  rid?: string;
  kind?: string;
  /** In remote-inbound-rtp: the outbound-rtp that it reports on. */
  localId?: string;
  fractionLost?: number;
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
  /** Firefox alone, which has no selectedCandidatePairId. */
  selected?: boolean;
  candidateType?: string;
  protocol?: string;
}

const kbps = (bytes: number, ms: number): number => (ms > 0 ? Math.max(0, Math.round((bytes * 8) / ms)) : 0);

const readings = new WeakMap<RTCPeerConnection, Reading>();

/** One reading of all paths of a call. */
export async function statsOf({ others, self, sfu }: Call): Promise<CallStats> {
  const at = Date.now();
  const paths: [string, Path][] = [];
  for (const [id, { peer }] of others) if (peer) paths.push([id, peer]);
  if (sfu?.peer) paths.push(['sfu', sfu.peer]);
  const peers = await Promise.all(paths.map(async ([id, path]) => {
    const { connection } = path;
    const { stats, reading } = await readStats(id, self, path, readings.get(connection), at);
    readings.set(connection, reading);
    // In which layer something comes is known by who sends it.
    const layerOf = (participant: string, source: Source): string => others.get(participant)?.remote.get(source)?.quality.value?.layer ?? '';
    return { ...stats, video: stats.video.map((one) => (one.direction === 'send' ? one : { ...one, layer: layerOf(one.participant, one.source) })) };
  }));
  return { at, peers };
}

const nothing: Counts = { bytes: 0, received: 0, lost: 0 };

/** One reading of getStats; rates are since `before`, 0 in the first one. */
async function readStats(
  participant: string, self: string, path: Path, before: Reading | undefined, at: number,
): Promise<{ stats: PeerStats; reading: Reading }> {
  const entries = await entriesOf(path.connection);
  const reading: Reading = { at, streams: new Map() };
  const elapsed = before ? at - before.at : 0;
  const video: Video[] = [];
  const sum = { send: 0, receive: 0, received: 0, lost: 0 };
  let jitter: number | null = null;
  for (const entry of entries.values()) {
    const outbound = entry.type === 'outbound-rtp';
    if (!outbound && entry.type !== 'inbound-rtp') continue;
    const counts = countsOf(entry);
    const last = before?.streams.get(entry.id) ?? nothing;
    reading.streams.set(entry.id, counts);
    const rate = kbps(counts.bytes - last.bytes, elapsed);
    const received = counts.received - last.received;
    const lost = Math.max(0, counts.lost - last.lost);
    sum[outbound ? 'send' : 'receive'] += rate;
    sum.received += received;
    sum.lost += lost;
    if (!outbound && entry.kind === 'audio' && entry.jitter !== undefined) jitter = Math.round(entry.jitter * 1000);
    const source = outbound ? sentIn(path, entry.mid) : path.labels[entry.mid ?? '']?.source;
    if (entry.kind !== 'video' || !source || !entry.frameWidth) continue;
    video.push({
      ...videoOf(entry, entries), source, kbps: rate, layer: entry.rid ?? '',
      direction: outbound ? 'send' : 'receive',
      participant: outbound ? self : path.labels[entry.mid ?? '']?.participant ?? participant,
      lossRatio: outbound ? reported(entry, entries) : ratio(lost, received),
    });
  }
  const lossRatio = ratio(sum.lost, sum.received);
  const { roundTripMs, protocol, relayed } = pairOf(entries);
  const link = path.link.value;
  return {
    reading,
    stats: {
      participant, link, roundTripMs, protocol, relayed, lossRatio, video,
      sendKbps: sum.send, receiveKbps: sum.receive, jitterMs: jitter,
      quality: link !== 'connected' ? 'lost' : grade(roundTripMs ?? 0, lossRatio),
    },
  };
}

function sentIn({ senders }: Path, mid: string | undefined): Source | undefined {
  for (const [source, transceiver] of senders) if (transceiver.mid === mid) return source;
  return undefined;
}

const countsOf = (entry: Entry): Counts => ({
  bytes: entry.bytesSent ?? entry.bytesReceived ?? 0, received: entry.packetsReceived ?? 0, lost: entry.packetsLost ?? 0,
});

const ratio = (lost: number, received: number): number => (received + lost > 0 ? lost / (received + lost) : 0);

/** What the other side says of a stream that we send (W3C webrtc-stats 8.6). */
function reported({ id }: Entry, entries: ReadonlyMap<string, Entry>): number {
  for (const entry of entries.values()) if (entry.type === 'remote-inbound-rtp' && entry.localId === id) return entry.fractionLost ?? 0;
  return 0;
}

/** Thresholds of ITU-T G.114 for delay; loss as opus and VP8 conceal it. */
function grade(roundTripMs: number, lossRatio: number): 'good' | 'fair' | 'poor' {
  if (roundTripMs > 500 || lossRatio > 0.08) return 'poor';
  return roundTripMs > 250 || lossRatio > 0.02 ? 'fair' : 'good';
}

function videoOf(entry: Entry, entries: ReadonlyMap<string, Entry>): Pick<Video, 'width' | 'height' | 'fps' | 'codec'> {
  return {
    width: entry.frameWidth ?? 0, height: entry.frameHeight ?? 0, fps: Math.round(entry.framesPerSecond ?? 0),
    codec: entries.get(entry.codecId ?? '')?.mimeType?.replace('video/', '') ?? '',
  };
}

type Pair = Pick<PeerStats, 'roundTripMs' | 'protocol' | 'relayed'>;

/** How a peer connection reaches the other side at present. */
export async function pathOf(connection: RTCPeerConnection): Promise<Pair> {
  return pairOf(await entriesOf(connection));
}

async function entriesOf(connection: RTCPeerConnection): Promise<Map<string, Entry>> {
  const entries = new Map<string, Entry>();
  (await connection.getStats()).forEach((entry: Entry) => entries.set(entry.id, entry));
  return entries;
}

function pairOf(entries: ReadonlyMap<string, Entry>): Pair {
  const all = [...entries.values()];
  const transport = all.find((e) => e.type === 'transport' && e.selectedCandidatePairId);
  const pair = entries.get(transport?.selectedCandidatePairId ?? '') ?? all.find((e) => e.type === 'candidate-pair' && e.selected);
  const local = entries.get(pair?.localCandidateId ?? '');
  const seconds = pair?.currentRoundTripTime;
  return {
    roundTripMs: seconds === undefined ? null : Math.round(seconds * 1000),
    protocol: local?.protocol ?? '',
    relayed: local?.candidateType === 'relay',
  };
}
