import { ClientError } from './errors';
import { until, Value } from './readable';
import type { Envelope, WireError } from './wire';

/** The typed answers; every other request is answered by `ack`. */
const replies: Readonly<Record<string, string>> = {
  auth: 'connected', join: 'joined', history: 'history', 'subscribe-thread': 'thread-history',
  'ice-servers': 'ice-servers',
};

/** After this long without an answer the link itself is suspected, milliseconds. */
const suspectMs = 3_000;

/** A UUID; on pages without a secure context, which have no randomUUID, as many random bits. */
export const newId = (): string =>
  crypto.randomUUID?.() ?? crypto.getRandomValues(new Uint32Array(4)).join('-');

interface Pending {
  type: string;
  answer: Value<Envelope | ClientError | null>;
}

/** Requests that wait for their one answer. */
export class Requests {
  readonly #pending = new Map<string, Pending>();
  readonly #suspect: () => void;

  constructor(suspect: () => void) {
    this.#suspect = suspect;
  }

  /** Rejects with `timeout`, `cancelled`, the server's error, or what failAll() was given. */
  async wait(id: string, type: string, timeoutMs: number, signal?: AbortSignal): Promise<Envelope> {
    const answer = new Value<Envelope | ClientError | null>(null);
    this.#pending.set(id, { type, answer });
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

  /** A logged message bears its sender's id too, so that the type decides what is an answer. */
  settle(envelope: Envelope): void {
    const entry = this.#pending.get(envelope.id ?? '');
    if (!entry) return;
    if (envelope.type === 'error') entry.answer.set(ClientError.fromWire(envelope.data as WireError));
    else if (envelope.type === 'ack' || envelope.type === replies[entry.type]) entry.answer.set(envelope);
  }

  failAll(error: ClientError): void {
    for (const { answer } of this.#pending.values()) if (answer.value === null) answer.set(error);
  }
}
