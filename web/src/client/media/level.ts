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
