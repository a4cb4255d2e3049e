import { Value } from '../readable';
import type { MediaFeed } from '../types';
import type { Source } from '../wire';

/** What all elements share that play feeds: the chosen speaker, and what autoplay refused. */
export class Playback {
  readonly speaker = new Value('');
  readonly blocked = new Value(false);
  readonly #playing = new Set<HTMLMediaElement>();
  readonly #refused = new Set<HTMLMediaElement>();

  play(element: HTMLMediaElement, audible: boolean): void {
    this.#playing.add(element);
    if (audible) void this.#route(element);
    element.play().catch((error: unknown) => {
      // AbortError: another load came first. NotAllowedError: no click yet (HTML, "autoplay").
      if (!(error instanceof Error) || error.name !== 'NotAllowedError' || !this.#playing.has(element)) return;
      this.#refused.add(element);
      this.blocked.set(true);
    });
  }

  forget(element: HTMLMediaElement): void {
    this.#playing.delete(element);
    this.#refused.delete(element);
    this.blocked.set(this.#refused.size > 0);
  }

  async unblock(): Promise<void> {
    const elements = [...this.#refused];
    this.#refused.clear();
    this.blocked.set(false);
    await Promise.all(elements.map((element) => element.play().catch(() => {
      this.#refused.add(element);
      this.blocked.set(true);
    })));
  }

  /** Rejects when the device cannot be had; then the one before stays. */
  async setSpeaker(deviceId: string): Promise<void> {
    const audible = [...this.#playing].filter((e) => !e.muted);
    await Promise.all(audible.map((e) => e.setSinkId?.(deviceId)));
    this.speaker.set(deviceId);
  }

  async #route(element: HTMLMediaElement): Promise<void> {
    try {
      if (this.speaker.value !== '') await element.setSinkId?.(this.speaker.value);
    } catch {
      // A speaker that was unplugged: the default one plays.
    }
  }
}

let counter = 0;

export class Feed implements MediaFeed {
  readonly id = `feed-${++counter}`;
  readonly track: MediaStreamTrack;
  readonly source: Source;
  readonly participant: string;
  readonly isLocal: boolean;
  readonly stream: MediaStream;
  readonly muted: Value<boolean>;
  readonly #playback: Playback;
  readonly #events = new AbortController();

  constructor(track: MediaStreamTrack, source: Source, participant: string, playback: Playback) {
    this.track = track;
    this.source = source;
    this.participant = participant;
    this.isLocal = participant === '';
    this.stream = new MediaStream([track]);
    this.muted = new Value(track.muted);
    this.#playback = playback;
    const { signal } = this.#events;
    for (const event of ['mute', 'unmute', 'ended']) {
      track.addEventListener(event, () => this.muted.set(track.muted || track.readyState === 'ended'), { signal });
    }
  }

  attach(element: HTMLMediaElement): () => void {
    const audible = !this.isLocal && this.track.kind === 'audio';
    element.muted = !audible;
    element.autoplay = true;
    if ('playsInline' in element) (element as HTMLVideoElement).playsInline = true;
    element.srcObject = this.stream;
    this.#playback.play(element, audible);
    return () => {
      if (element.srcObject !== this.stream) return;
      this.#playback.forget(element);
      element.srcObject = null;
    };
  }

  close(): void {
    this.#events.abort();
  }
}
