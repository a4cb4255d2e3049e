import { ClientError } from './errors';
import { until, Value } from './readable';
import type { Envelope, WireError } from './wire';

/** After this long without an answer the link itself is suspected, milliseconds. */
const suspectMs = 3_000;

/** A UUID; on pages without a secure context, which have no randomUUID, as many random bits. */
export const newId = (): string =>
  crypto.randomUUID?.() ?? crypto.getRandomValues(new Uint32Array(4)).join('-');

/** Requests that wait for their one answer. */
export class Requests {
  readonly #pending = new Map<string, Value<Envelope | ClientError | null>>();
  readonly #suspect: () => void;

  constructor(suspect: () => void) {
    this.#suspect = suspect;
  }

  /** Rejects with `timeout`, `cancelled`, the server's error, or what failAll() was given. */
  async wait(id: string, timeoutMs: number, signal?: AbortSignal): Promise<Envelope> {
    const answer = new Value<Envelope | ClientError | null>(null);
    this.#pending.set(id, answer);
    const suspicion = setTimeout(this.#suspect, suspectMs);
    try {
      const settled = await until(answer, (a) => a !== null, { timeoutMs, signal });
      if (settled instanceof ClientError) throw settled;
      return settled as Envelope;
    } finally {
      clearTimeout(suspicion);
      this.#pending.delete(id);
    }
  }

  /** A logged message bears the id of its sender's request too: what has an author is that one, not the answer. */
  settle(envelope: Envelope): void {
    if (envelope.author) return;
    this.#pending.get(envelope.id ?? '')?.set(envelope.type === 'error' ? ClientError.fromWire(envelope.data as WireError) : envelope);
  }

  failAll(error: ClientError): void {
    for (const answer of this.#pending.values()) if (answer.value === null) answer.set(error);
  }
}
