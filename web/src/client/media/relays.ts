import type { ICEServerList } from '../wire';
import type { Call } from './call';

/** Credentials are renewed after this part of their time, so that those at hand are always good. */
const part = 0.8;

/** Keeps the credentials of a call's TURN servers fresh. */
export class Relays {
  readonly #call: Call;
  #known: ICEServerList | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(call: Call) {
    this.#call = call;
  }

  /** Looks whether the call has got other ones: each `joined` brings some. */
  follow(): void {
    const { setup } = this.#call;
    if (setup === this.#known) return;
    this.#known = setup;
    clearTimeout(this.#timer);
    if (setup.ttl) this.#timer = setTimeout(() => void this.#renew(), setup.ttl * part * 1000);
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  async #renew(): Promise<void> {
    // Without an answer the next `joined` brings them.
    const { data } = await this.#call.room.request<ICEServerList>('ice-servers', {}).catch(() => ({ data: undefined }));
    if (!data || this.#call.setup !== this.#known) return;
    this.#call.setup = { ...this.#call.setup, ttl: undefined, ...data };
    this.follow();
  }
}
