/** Long looks at what a page receives: functions for `page.evaluate`, each complete in itself. */

export interface Watched {
  /** Frames that were shown. */
  readonly frames: number;
  /** Milliseconds between one frame and the next, the longest first, and from the last one to the end. */
  readonly gaps: readonly number[];
  /** When the first frame of the last gap above half a second came, milliseconds after the beginning; null = none. */
  readonly recoveredAt: number | null;
  /** Width of the last frame. */
  readonly width: number;
  /** Share of the sound that was invented because nothing had come, 0 to 1. */
  readonly concealed: number;
}

/** Watches one tile for so many milliseconds. */
export async function watchTile({ participant, source, forMs }: { participant: string; source: string; forMs: number }): Promise<Watched> {
  const selector = `[data-testid="tile"][data-participant="${participant}"][data-source="${source}"] video`;
  const sound = async (): Promise<{ concealed: number; total: number }> => {
    let [concealed, total] = [0, 0];
    const audio = [...document.querySelectorAll<HTMLAudioElement>(`audio[data-participant="${participant}"]`)];
    const tracks = audio.flatMap((element) => (element.srcObject as MediaStream | null)?.getAudioTracks() ?? []);
    for (const connection of globalThis.e2e.connections) {
      for (const receiver of connection.getReceivers()) {
        if (!tracks.includes(receiver.track)) continue;
        for (const report of (await receiver.getStats()).values() as Iterable<Record<string, number | string>>) {
          if (report.type !== 'inbound-rtp') continue;
          concealed += Number(report.concealedSamples ?? 0) - Number(report.silentConcealedSamples ?? 0);
          total += Number(report.totalSamplesReceived ?? 0);
        }
      }
    }
    return { concealed, total };
  };

  const begin = performance.now();
  const soundBefore = await sound();
  const times: number[] = [];
  let watched: HTMLVideoElement | null = null;
  let over = false;
  const look = (): void => {
    if (over) return;
    const video = document.querySelector<HTMLVideoElement>(selector);
    if (video && video !== watched) {
      watched = video;
      const next = (now: number): void => {
        if (over || watched !== video) return;
        times.push(now);
        video.requestVideoFrameCallback(next);
      };
      video.requestVideoFrameCallback(next);
    }
    setTimeout(look, 20);
  };
  look();
  await new Promise((resolve) => setTimeout(resolve, forMs));
  over = true;

  const soundAfter = await sound();
  const moments = [begin, ...times, performance.now()];
  const gaps: number[] = [];
  let recoveredAt: number | null = null;
  for (let i = 1; i < moments.length; i++) {
    const gap = (moments[i] ?? 0) - (moments[i - 1] ?? 0);
    gaps.push(Math.round(gap));
    if (gap > 500) recoveredAt = i < moments.length - 1 ? Math.round((moments[i] ?? 0) - begin) : null;
  }
  const heard = soundAfter.total - soundBefore.total;
  return {
    frames: times.length,
    gaps: gaps.sort((a, b) => b - a).slice(0, 10),
    recoveredAt,
    width: (watched as HTMLVideoElement | null)?.videoWidth ?? 0,
    concealed: heard > 0 ? (soundAfter.concealed - soundBefore.concealed) / heard : 0,
  };
}

/** The UDP port at which the other side sees the page, null when there is no path. */
export async function seenAt(): Promise<number | null> {
  for (const connection of globalThis.e2e.connections) {
    if (connection.connectionState !== 'connected') continue;
    const reports = [...(await connection.getStats()).values()] as Record<string, unknown>[];
    const byId = new Map(reports.map((report) => [report.id, report]));
    for (const report of reports) {
      if (report.type !== 'transport') continue;
      const pair = byId.get(report.selectedCandidatePairId);
      const local = pair && byId.get(pair.localCandidateId);
      if (local && typeof local.port === 'number') return local.port;
    }
  }
  return null;
}
