import { ClientError } from './errors';
import type { Envelope, WireError } from './wire';

/** The typed answers; every other request is answered by `ack`. */
const replies: Readonly<Record<string, string>> = {
  auth: 'connected', join: 'joined', history: 'history', 'subscribe-thread': 'thread-history',
};

/** After this long without an answer the link itself is suspected, milliseconds. */
const suspectMs = 3_000;

interface Pending {
  type: string;
  resolve(envelope: Envelope): void;
  reject(error: ClientError): void;
}

/** Requests that wait for their one answer. */
export class Requests {
  readonly #pending = new Map<string, Pending>();
  readonly #suspect: () => void;

  constructor(suspect: () => void) {
    this.#suspect = suspect;
  }

  /** Rejects with `timeout`, `cancelled`, the server's error, or what failAll() was given. */
  wait(id: string, type: string, timeoutMs: number, signal?: AbortSignal): Promise<Envelope> {
    const done = new AbortController();
    return new Promise<Envelope>((resolve, reject) => {
      const suspicion = setTimeout(this.#suspect, suspectMs);
      const timer = setTimeout(() => entry.reject(new ClientError('timeout', `no answer to ${type}`)), timeoutMs);
      const abort = (): void => entry.reject(new ClientError('cancelled'));
      const entry = { type, resolve, reject };
      this.#pending.set(id, entry);
      signal?.addEventListener('abort', abort, { signal: done.signal });
      if (signal?.aborted) abort();
      done.signal.onabort = () => {
        clearTimeout(suspicion);
        clearTimeout(timer);
        this.#pending.delete(id);
      };
    }).finally(() => done.abort());
  }

  /** A logged message bears its sender's id too, so that the type decides what is an answer. */
  settle(envelope: Envelope): void {
    const entry = envelope.id === undefined ? undefined : this.#pending.get(envelope.id);
    if (!entry) return;
    if (envelope.type === 'error') entry.reject(ClientError.fromWire(envelope.data as WireError));
    else if (envelope.type === 'ack' || envelope.type === replies[entry.type]) entry.resolve(envelope);
  }

  failAll(error: ClientError): void {
    for (const entry of [...this.#pending.values()]) entry.reject(error);
  }
}
