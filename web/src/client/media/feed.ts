import { Value } from '../readable';
import type { FeedQuality, MediaFeed } from '../types';
import type { Source } from '../wire';

/** What all elements share that play feeds: the chosen speaker, and what autoplay refused. */
export class Playback {
  readonly speaker = new Value('');
  readonly blocked = new Value(false);
  /** Element -> whether autoplay refused it. */
  readonly #elements = new Map<HTMLMediaElement, boolean>();

  async play(element: HTMLMediaElement): Promise<void> {
    this.#mark(element, false);
    try {
      // A speaker that was unplugged: the default one plays.
      if (!element.muted && this.speaker.value !== '') await element.setSinkId?.(this.speaker.value).catch(() => undefined);
      await element.play();
    } catch (error) {
      // AbortError: another load came first. NotAllowedError: no click yet (HTML, "autoplay").
      if (this.#elements.has(element)) this.#mark(element, error instanceof Error && error.name === 'NotAllowedError');
    }
  }

  forget(element: HTMLMediaElement): void {
    this.#elements.delete(element);
    this.#update();
  }

  async unblock(): Promise<void> {
    await Promise.all([...this.#elements].map(([element, refused]) => refused && this.play(element)));
  }

  /** Rejects when the device cannot be had; then the one before stays. */
  async setSpeaker(deviceId: string): Promise<void> {
    await Promise.all([...this.#elements.keys()].map((e) => e.muted || e.setSinkId?.(deviceId)));
    this.speaker.set(deviceId);
  }

  #mark(element: HTMLMediaElement, refused: boolean): void {
    this.#elements.set(element, refused);
    this.#update();
  }

  #update(): void {
    this.blocked.set([...this.#elements.values()].includes(true));
  }
}

let counter = 0;

export class Feed implements MediaFeed {
  readonly id = `feed-${++counter}`;
  track: MediaStreamTrack;
  readonly source: Source;
  readonly participant: string;
  readonly isLocal: boolean;
  readonly stream: MediaStream;
  readonly muted: Value<boolean>;
  readonly quality = new Value<FeedQuality | null>(null);
  /** What plays it now. */
  readonly elements = new Value<readonly HTMLMediaElement[]>([]);
  readonly #playback: Playback;
  #events = new AbortController();

  constructor(track: MediaStreamTrack, source: Source, participant: string, playback: Playback) {
    this.track = track;
    this.source = source;
    this.participant = participant;
    this.isLocal = participant === '';
    this.stream = new MediaStream([track]);
    this.muted = new Value(track.muted);
    this.#playback = playback;
    this.#listen();
  }

  /** Another track of the same: elements go on playing, and show the last picture until the next one comes. */
  replace(track: MediaStreamTrack): void {
    if (track === this.track) return;
    this.close();
    // First the new one: a stream without a live track has ended, and so have the elements that play it.
    this.stream.addTrack(track);
    this.stream.removeTrack(this.track);
    this.track = track;
    this.#listen();
    for (const element of this.elements.value) void this.#playback.play(element);
  }

  attach(element: HTMLMediaElement): () => void {
    element.muted = this.isLocal || this.track.kind !== 'audio';
    // Phones open a player of their own otherwise; means nothing on an <audio>.
    (element as HTMLVideoElement).playsInline = true;
    element.srcObject = this.stream;
    void this.#playback.play(element);
    this.elements.set([...this.elements.value, element]);
    return () => {
      this.elements.set(this.elements.value.filter((one) => one !== element));
      if (element.srcObject !== this.stream) return;
      this.#playback.forget(element);
      element.srcObject = null;
    };
  }

  close(): void {
    this.#events.abort();
  }

  #listen(): void {
    const { track } = this;
    const update = (): void => this.muted.set(track.muted || track.readyState === 'ended');
    const { signal } = (this.#events = new AbortController());
    for (const event of ['mute', 'unmute', 'ended']) track.addEventListener(event, update, { signal });
    update();
  }
}
