import { ClientError } from './errors';
import type { Readable } from './types';

/** Runs a listener; what it throws is the page's fault and must not stop the caller. */
export function guarded<T>(fn: (value: T) => void, value: T): void {
  try {
    fn(value);
  } catch (error) {
    // To the page's handler of uncaught errors, outside of this call.
    queueMicrotask(() => { throw error; });
  }
}

/** A readable that its owner sets. */
export class Value<T> implements Readable<T> {
  #value: T;
  readonly #listeners = new Set<(value: T) => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  set(value: T): void {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    this.#notify();
  }

  /** Sets an object value with some fields changed, and only if they differ. */
  patch(change: Partial<T>): void {
    for (const key in change) {
      if (!Object.is(change[key], this.#value[key])) {
        this.set({ ...this.#value, ...change });
        return;
      }
    }
  }

  subscribe(fn: (value: T) => void, { signal }: { signal?: AbortSignal } = {}): () => void {
    const entry = (value: T): void => fn(value);
    const stop = (): void => void this.#listeners.delete(entry);
    if (signal?.aborted) return stop;
    this.#listeners.add(entry);
    signal?.addEventListener('abort', stop, { once: true });
    guarded(entry, this.#value);
    return stop;
  }

  #notify(): void {
    // A listener may set again: the ones after it then get the newest value twice, never an old one.
    for (const fn of [...this.#listeners]) if (this.#listeners.has(fn)) guarded(fn, this.#value);
  }
}

/**
 * A readable computed from other state: reading is always right at once, listeners are told once
 * per microtask however often `invalidate` was called.
 */
export class Computed<T> implements Readable<T> {
  readonly #compute: () => T;
  readonly #cell: Value<T>;
  #dirty = false;

  constructor(compute: () => T) {
    this.#compute = compute;
    this.#cell = new Value(compute());
  }

  get value(): T {
    this.#settle();
    return this.#cell.value;
  }

  readonly invalidate = (): void => {
    if (this.#dirty) return;
    this.#dirty = true;
    queueMicrotask(() => this.#settle());
  };

  subscribe(fn: (value: T) => void, options?: { signal?: AbortSignal }): () => void {
    this.#settle();
    return this.#cell.subscribe(fn, options);
  }

  #settle(): void {
    if (!this.#dirty) return;
    this.#dirty = false;
    this.#cell.set(this.#compute());
  }
}

/** Typed events: `on` returns what ends it. */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<(payload: never) => void>>();

  on<K extends keyof Events>(name: K, fn: (payload: Events[K]) => void): () => void {
    const set = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, set.add(fn));
    return () => void set.delete(fn);
  }

  emit<K extends keyof Events>(name: K, payload: Events[K]): void {
    for (const fn of [...(this.#listeners.get(name) ?? [])]) {
      guarded(fn as (payload: Events[K]) => void, payload);
    }
  }
}

/** Resolves with the first value that `test` accepts; rejects with `timeout`, or with `cancelled` as `signal` aborts. */
export function until<T>(
  readable: Readable<T>, test: (value: T) => boolean, options: { timeoutMs?: number; signal?: AbortSignal } = {},
): Promise<T> {
  const { timeoutMs, signal } = options;
  const done = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  return new Promise<T>((resolve, reject) => {
    const cancel = (): void => reject(new ClientError('cancelled'));
    if (signal?.aborted) cancel();
    signal?.addEventListener('abort', cancel, { signal: done.signal });
    if (timeoutMs !== undefined) timer = setTimeout(() => reject(new ClientError('timeout')), timeoutMs);
    readable.subscribe((value) => { if (test(value)) resolve(value); }, { signal: done.signal });
  }).finally(() => {
    clearTimeout(timer);
    done.abort();
  });
}
