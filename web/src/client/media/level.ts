import type { Value } from '../readable';

export const levelEveryMs = 100;
/** -60 dBFS and less is silence, 0 dBFS is 1. */
const floorDb = 60;
/** -38 dBFS: above the noise of a room, below quiet speech. */
const speechLevel = 0.37;
const startMs = 100;
const stopMs = 500;

/** Linear amplitude (RMS, 0 to 1) as loudness 0 to 1 on a decibel scale. */
export function loudness(amplitude: number): number {
  if (amplitude <= 0) return 0;
  return Math.min(1, Math.max(0, (20 * Math.log10(amplitude) + floorDb) / floorDb));
}

/** Speech starts after 100 ms above the threshold and ends after 500 ms below it. */
export class SpeechDetector {
  readonly #speaking: Value<boolean>;
  #since = 0;
  #loud = false;

  constructor(speaking: Value<boolean>) {
    this.#speaking = speaking;
  }

  update(level: number, now: number): void {
    const loud = level >= speechLevel;
    if (loud !== this.#loud) {
      this.#loud = loud;
      this.#since = now;
    }
    if (now - this.#since >= (loud ? startMs : stopMs)) this.#speaking.set(loud);
  }
}

let context: AudioContext | null = null;

/** Measures `track` ten times a second until the returned function is called. */
export function measure(track: MediaStreamTrack, report: (level: number) => void): () => void {
  if (!globalThis.AudioContext) return () => undefined;
  context ??= new AudioContext();
  const own = context;
  // A clone, so that it goes on being measured while the track that is sent is muted.
  const probe = track.clone();
  probe.enabled = true;
  const source = own.createMediaStreamSource(new MediaStream([probe]));
  const analyser = own.createAnalyser();
  analyser.fftSize = 1024;
  source.connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    // Without a click the context may be suspended; it can be resumed once there was one.
    if (own.state === 'suspended') void own.resume().catch(() => undefined);
    analyser.getFloatTimeDomainData(samples);
    let sum = 0;
    for (const sample of samples) sum += sample * sample;
    report(loudness(Math.sqrt(sum / samples.length)));
  }, levelEveryMs);
  return () => {
    clearInterval(timer);
    source.disconnect();
    probe.stop();
    report(0);
  };
}
