import type { TokenProvider, TokenReason } from './types';

/** A token is renewed this long before it expires, or after four fifths of its life if that is later. */
const leadMs = 60_000;
/** A day; setTimeout takes no more than 2^31 - 1 milliseconds. */
const longestMs = 86_400_000;

/** Unix ms of a JWT's `exp` claim (RFC 7519, 4.1.4), 0 when there is none or this is no JWT. */
export function expiryOf(token: string): number {
  try {
    const part = token.split('.')[1] ?? '';
    const claims = JSON.parse(atob(part.replaceAll('-', '+').replaceAll('_', '/'))) as { exp: number };
    return claims.exp * 1000 || 0;
  } catch {
    return 0;
  }
}

/** Keeps the token and has it renewed on the live connection before it expires. */
export class Tokens {
  readonly #source: string | TokenProvider;
  readonly #refresh: (token: string) => Promise<unknown>;
  #token: string | null = null;
  #reason: TokenReason = 'connect';
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(source: string | TokenProvider, refresh: (token: string) => Promise<unknown>) {
    this.#source = source;
    this.#refresh = refresh;
  }

  /** Whether another token can be had at all. */
  get renewable(): boolean {
    return typeof this.#source === 'function';
  }

  async get(): Promise<string> {
    const expiry = expiryOf(this.#token ?? '');
    if (this.#token === null || (expiry > 0 && expiry < Date.now() + 5_000)) await this.#fetch(this.#reason);
    return this.#token ?? '';
  }

  /** The present token is of no use; the provider is told why when it is asked next. */
  renew(reason: TokenReason): void {
    this.#token = null;
    this.#reason = reason;
  }

  /** `expiresAt`: Unix ms. Starts to watch over the token of a live connection. */
  watch(expiresAt: number | undefined): void {
    clearTimeout(this.#timer);
    const expiry = expiresAt ?? expiryOf(this.#token ?? '');
    if (!this.renewable || expiry <= 0) return;
    const left = expiry - Date.now();
    const wait = Math.max(left - leadMs, left * 0.8, 1_000);
    this.#timer = setTimeout(() => void this.#renewLive(expiry), Math.min(wait, longestMs));
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #fetch(reason: TokenReason): Promise<string> {
    this.#token = typeof this.#source === 'function' ? await this.#source({ reason }) : this.#source;
    this.#reason = 'connect';
    return this.#token;
  }

  async #renewLive(expiry: number): Promise<void> {
    try {
      const token = await this.#fetch('refresh');
      await this.#refresh(token);
      this.watch(expiryOf(token) || undefined);
    } catch {
      // Sooner and sooner, until the server closes with 4001 some time after the expiry.
      if (this.#timer) this.watch(expiry);
    }
  }
}
