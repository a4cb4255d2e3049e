import { ClientError } from '../errors';
import { fullJitter } from '../retry';
import type { Signal } from '../wire';

/** Sent and not acknowledged at most. */
const window = 8;

interface Item {
  to: string;
  signal: Signal;
  done: boolean;
}

/**
 * Signals in order, each until it is acknowledged: what was under way when a connection died, or was
 * over the rate limit, is sent again together with all after it (go-back-N). A peer takes a repeat
 * without harm; a lost answer would leave it waiting for ever.
 */
export class SignalQueue {
  readonly #send: (to: string, signal: Signal) => Promise<unknown>;
  #items: Item[] = [];
  #sent = 0;
  #paused = true;
  /** Grows whenever sending starts again from the front: earlier answers count no more. */
  #run = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(send: (to: string, signal: Signal) => Promise<unknown>) {
    this.#send = send;
  }

  push(to: string, signal: Signal): void {
    this.#items.push({ to, signal, done: false });
    this.#pump();
  }

  /** Nothing that waits for `to` is of use any more. */
  forget(to: string): void {
    this.#items = this.#items.filter((item) => item.to !== to);
    // Counting anew costs the others a repeat.
    if (!this.#paused) this.resume();
  }

  pause(): void {
    this.#paused = true;
    clearTimeout(this.#timer);
  }

  /** Starts again with the first that is not acknowledged. */
  resume(): void {
    clearTimeout(this.#timer);
    this.#paused = false;
    this.#run++;
    this.#sent = 0;
    for (const item of this.#items) item.done = false;
    this.#pump();
  }

  #pump(): void {
    while (!this.#paused && this.#sent < Math.min(this.#items.length, window)) {
      const item = this.#items[this.#sent++] as Item;
      const run = this.#run;
      this.#send(item.to, item.signal).then(
        () => { if (run === this.#run) this.#settle(item); },
        (error: unknown) => { if (run === this.#run) this.#failed(item, ClientError.from(error)); },
      );
    }
  }

  #settle(item: Item): void {
    item.done = true;
    while (this.#items[0]?.done) {
      this.#items.shift();
      this.#sent--;
    }
    this.#pump();
  }

  #failed(item: Item, error: ClientError): void {
    // The addressee is gone, or the relay refuses: repeating would not help.
    if (!error.retryable) this.#settle(item);
    else if (error.code !== 'network' && !this.#paused) {
      this.pause();
      this.#timer = setTimeout(() => this.resume(), error.retryAfterMs ?? fullJitter({ attempt: 1 }));
    }
  }
}
