/** Questions about what a page receives: functions for `page.evaluate`, each complete in itself, for both browsers. */

export interface Reception {
  readonly frames: number;
  readonly width: number;
  readonly height: number;
  /** Brightest minus darkest of the sampled pixels, 0 to 255. */
  readonly range: number;
  /** A coarse picture; two that differ show movement. */
  readonly picture: readonly number[];
}

/** What the video of one tile shows, null as long as there is none. `frames`: decoded ones. */
export async function receptionOf({ participant, source }: { participant: string; source: string }): Promise<Reception | null> {
  const video = document.querySelector<HTMLVideoElement>(
    `[data-testid="tile"][data-participant="${participant}"][data-source="${source}"] video`,
  );
  const track = (video?.srcObject as MediaStream | null)?.getVideoTracks()[0];
  if (!video || !track || video.videoWidth === 0) return null;

  let frames = 0;
  for (const connection of globalThis.e2e.connections) {
    const receiver = connection.getReceivers().find((one) => one.track === track);
    if (!receiver || connection.connectionState === 'closed') continue;
    for (const report of (await receiver.getStats()).values() as Iterable<{ type: string; kind?: string; framesDecoded?: number }>) {
      if (report.type === 'inbound-rtp' && report.kind === 'video') frames += report.framesDecoded ?? 0;
    }
  }

  const canvas = document.createElement('canvas');
  canvas.width = 64;
  canvas.height = 48;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (!context) return null;
  context.drawImage(video, 0, 0, canvas.width, canvas.height);
  const picture: number[] = [];
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 0; at < data.length; at += 4) {
    picture.push(Math.round(((data[at] ?? 0) + (data[at + 1] ?? 0) + (data[at + 2] ?? 0)) / 3));
  }
  return {
    frames,
    width: video.videoWidth,
    height: video.videoHeight,
    range: Math.max(...picture) - Math.min(...picture),
    picture,
  };
}

/** Sound that arrived from a participant, or from one source of theirs, and was played: `totalAudioEnergy` stays 0 while an element is muted. */
export async function audioEnergyOf(of: string | { readonly participant: string; readonly source: string }): Promise<number> {
  let energy = 0;
  const selector = typeof of === 'string' ? `[data-participant="${of}"]` : `[data-participant="${of.participant}"][data-source="${of.source}"]`;
  const elements = document.querySelectorAll<HTMLAudioElement>(`audio${selector}`);
  const tracks = [...elements].flatMap((element) => (element.srcObject as MediaStream | null)?.getAudioTracks() ?? []);
  for (const connection of globalThis.e2e.connections) {
    if (connection.connectionState === 'closed') continue;
    for (const receiver of connection.getReceivers()) {
      if (!tracks.includes(receiver.track)) continue;
      for (const report of (await receiver.getStats()).values() as Iterable<{ type: string; totalAudioEnergy?: number }>) {
        if (report.type === 'inbound-rtp') energy += report.totalAudioEnergy ?? 0;
      }
    }
  }
  return energy;
}

/** Connections that are open at present: the same ones afterwards = the same call. */
export function openConnections(): number[] {
  return globalThis.e2e.connections.flatMap((connection, index) => (connection.connectionState === 'connected' ? [index] : []));
}

/** Notes from now on when frames of somebody's camera are shown. */
export function watchFrames(participant: string): void {
  const video = document.querySelector<HTMLVideoElement>(`[data-testid="tile"][data-participant="${participant}"][data-source="camera"] video`);
  if (!video) throw new Error('there is no video to watch');
  const times: number[] = [];
  globalThis.e2e.frames[participant] = times;
  const note = (now: number): void => {
    times.push(now);
    video.requestVideoFrameCallback(note);
  };
  video.requestVideoFrameCallback(note);
}

/** The longest time without a new frame since the last question, up to now; milliseconds. */
export function longestGap(participant: string): { readonly gap: number; readonly frames: number } {
  const times = globalThis.e2e.frames[participant] ?? [];
  const frames = times.length;
  const until = [...times, performance.now()];
  const gap = Math.max(...until.slice(1).map((time, at) => time - (until[at] ?? time)));
  times.splice(0, frames - 1);
  return { gap: Math.round(gap), frames };
}

/** What of a picture has come so far. */
export interface Received {
  /** As in `video/VP9`. */
  readonly codec: string;
  /** Of the last decoded picture. */
  readonly width: number;
  readonly frames: number;
  readonly bytes: number;
}

/** What a tile has received, null while nothing comes. */
export async function receivedOf({ participant, source }: { participant: string; source: string }): Promise<Received | null> {
  const video = document.querySelector<HTMLVideoElement>(`[data-testid="tile"][data-participant="${participant}"][data-source="${source}"] video`);
  const track = (video?.srcObject as MediaStream | null)?.getVideoTracks()[0];
  for (const connection of globalThis.e2e.connections) {
    const receiver = connection.connectionState === 'closed' ? undefined : connection.getReceivers().find((one) => one.track === track);
    if (!receiver) continue;
    const reports = new Map<string, Record<string, unknown>>();
    (await receiver.getStats()).forEach((report: Record<string, unknown>, id) => reports.set(id, report));
    for (const report of reports.values()) {
      if (report.type !== 'inbound-rtp') continue;
      const { frameWidth, framesDecoded, bytesReceived, codecId } = report;
      return {
        codec: String(reports.get(String(codecId))?.mimeType ?? ''), width: Number(frameWidth ?? 0),
        frames: Number(framesDecoded ?? 0), bytes: Number(bytesReceived ?? 0),
      };
    }
  }
  return null;
}

/** One simulcast layer that a page sends. */
export interface Sent {
  readonly rid: string;
  /** Whether it is to be encoded. */
  readonly active: boolean;
  /** Of the last encoded picture, 0 = there was none. */
  readonly width: number;
  /** Pictures in the last second. */
  readonly fps: number;
}

/** The layers that a page sends, in the order of their names. */
export async function sentOf(): Promise<Sent[]> {
  const layers: Sent[] = [];
  for (const connection of globalThis.e2e.connections) {
    if (connection.connectionState === 'closed') continue;
    for (const report of (await connection.getStats()).values() as Iterable<Record<string, unknown>>) {
      if (report.type !== 'outbound-rtp' || !report.rid) continue;
      layers.push({
        rid: String(report.rid), active: report.active === true, width: Number(report.frameWidth ?? 0), fps: Number(report.framesPerSecond ?? 0),
      });
    }
  }
  return layers.sort((a, b) => a.rid.localeCompare(b.rid));
}
