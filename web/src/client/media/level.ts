import type { Value } from '../readable';
import type { ParticipantView } from '../roster';
import type { Call } from './call';

const everyMs = 100;
/** -60 dBFS and less is silence, 0 dBFS is 1. */
const floorDb = 60;
/** -38 dBFS: above the noise of a room, below quiet speech. */
const speechLevel = 0.37;
const startMs = 100;
const stopMs = 500;
/** Who is heard is told once in so many measurements. */
const rankEvery = 3;

/** Linear amplitude (RMS, 0 to 1) as loudness 0 to 1 on a decibel scale. */
function loudness(amplitude: number): number {
  if (amplitude <= 0) return 0;
  return Math.min(1, Math.max(0, (20 * Math.log10(amplitude) + floorDb) / floorDb));
}

/** Speech starts after 100 ms above the threshold and ends after 500 ms below it. */
class SpeechDetector {
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

/** How loud everyone in a call is, and who speaks. Loaded with the first call. */
export class Levels {
  readonly #call: Call;
  readonly #speech = new Map<ParticipantView, SpeechDetector>();
  readonly #timer = setInterval(() => this.#measure(), everyMs);
  #ticks = 0;

  constructor(call: Call) {
    this.#call = call;
  }

  close(): void {
    clearInterval(this.#timer);
    for (const view of this.#speech.keys()) this.#forget(view);
  }

  #measure(): void {
    const now = Date.now();
    const views = this.#call.room.participants.value;
    for (const view of this.#speech.keys()) if (!views.includes(view)) this.#forget(view);
    for (const view of views) {
      const level = view.isSelf ? this.#own() : this.#heard(view);
      if (!view.isSelf) view.setLevel(level);
      const speech = this.#speech.get(view) ?? new SpeechDetector(view.speaking);
      this.#speech.set(view, speech);
      speech.update(level, now);
    }
    // Through the SFU it is the server that says who is heard.
    if (this.#call.mode === 'mesh' && ++this.#ticks % rankEvery === 0) this.#rank(views);
  }

  #own(): number {
    const { microphone, level } = this.#call.room.media;
    return microphone.value.on ? level.value : 0;
  }

  /** Read from the RTP header extension or the decoder (W3C WebRTC 5.3, RFC 6464): no audio graph needed. */
  #heard(view: ParticipantView): number {
    const receiver = this.#call.sfu?.receiverOf(view, 'microphone') ?? view.peer?.receiverOf('microphone');
    const [source] = receiver?.getSynchronizationSources?.() ?? [];
    return source && view.media.value.microphone ? loudness(source.audioLevel ?? 0) : 0;
  }

  #rank(views: readonly ParticipantView[]): void {
    const { speakers } = this.#call.room;
    const heard = views.filter((view) => view.speaking.value).sort((a, b) => b.level.value - a.level.value);
    if (heard.length !== speakers.value.length || heard.some((view, i) => view !== speakers.value[i])) speakers.set(heard);
  }

  #forget(view: ParticipantView): void {
    this.#speech.delete(view);
    if (!view.isSelf) view.setLevel(0);
    view.speaking.set(false);
  }
}

let context: AudioContext | null = null;

/** Measures `track` ten times a second, from 0 to 1, until the returned function is called. */
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
  }, everyMs);
  return () => {
    clearInterval(timer);
    source.disconnect();
    probe.stop();
    report(0);
  };
}
