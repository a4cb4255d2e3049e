import type { LocalMedia } from '../types';
import type { MediaState } from '../wire';

type Muted = 'microphone' | 'camera' | 'screen';
const sources: readonly Muted[] = ['microphone', 'camera', 'screen'];

/** Tells the server what of our media is on, and does what the server imposes. */
export class MediaStateSync {
  readonly #media: LocalMedia;
  readonly #send: (state: MediaState) => Promise<unknown>;
  readonly #stop: (() => void)[];
  #hand = false;
  /** One at a time. Until it is acknowledged what the server says of us may be older than what we said. */
  #busy = false;
  #told: MediaState | null = null;

  constructor(media: LocalMedia, send: (state: MediaState) => Promise<unknown>) {
    this.#media = media;
    this.#send = send;
    this.#stop = sources.map((source) => media[source].subscribe(() => this.#sync()));
  }

  setHand(up: boolean): void {
    this.#hand = up;
    this.#sync();
  }

  /** We are in the room, and the server holds `theirs` for us. */
  joined(theirs: MediaState): void {
    this.#told = theirs;
    this.#sync();
  }

  /** Switches off what the server says is off, and returns it. */
  imposed(theirs: MediaState): Muted[] {
    if (this.#busy || !this.#told) return [];
    const off = sources.filter((s) => this.#media[s].value.on && !theirs[s]);
    this.#told = theirs;
    this.#hand = theirs.hand;
    for (const source of off) {
      if (source === 'screen') this.#media.stopShare();
      else void this.#media[source === 'camera' ? 'setCamera' : 'setMicrophone'](false);
    }
    return off;
  }

  close(): void {
    for (const stop of this.#stop) stop();
  }

  #sync(): void {
    const told = this.#told;
    if (!told || this.#busy) return;
    const now = { hand: this.#hand } as MediaState;
    for (const source of sources) now[source] = this.#media[source].value.on;
    if (now.hand === told.hand && sources.every((s) => now[s] === told[s])) return;
    this.#busy = true;
    void this.#send(now).catch(() => undefined).then(() => {
      this.#told = now;
      this.#busy = false;
      this.#sync();
    });
  }
}
