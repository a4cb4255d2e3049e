import type { ICEServerList } from '../wire';
import type { Call } from './call';
import type { Path } from './stats';

/** Credentials are renewed after this part of their time, so that those at hand are always good. */
const part = 0.8;
/** Who gets no new ones asks again after this part. */
const retryPart = 0.05;
/** So much longer the polite one of a pair leaves it to the other to change over. */
const pausePart = 0.05;

/**
 * Keeps the credentials of a call's TURN servers fresh. A relay lives no longer than the credentials that it was asked
 * for with, so what goes by one changes over to another in time. That is an ICE restart, of which the old path carries
 * media until the new one does (RFC 8445 2.4).
 */
export class Relays {
  readonly #call: Call;
  #known: ICEServerList | null = null;
  /** When the oldest credentials that a path may have been made with are to be replaced, milliseconds. */
  #due = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pause: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(call: Call) {
    this.#call = call;
  }

  /** Looks whether the call has got other ones: each `joined` brings some. */
  follow(): void {
    const { setup } = this.#call;
    if (setup === this.#known) return;
    const first = this.#known === null;
    this.#known = setup;
    // What was made with those before is good until its time, which passes without the timer while a machine sleeps.
    if (Date.now() < this.#due) return;
    this.#begin(setup.ttl);
    if (!first) this.#changeOver();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#pause);
  }

  #begin(ttl = 0): void {
    this.#due = Date.now() + ttl * part * 1000;
    this.#wait(ttl * part);
  }

  /** 0 = for ever. */
  #wait(seconds: number): void {
    clearTimeout(this.#timer);
    if (seconds > 0) this.#timer = setTimeout(() => void this.#renew(), seconds * 1000);
  }

  async #renew(): Promise<void> {
    const { data } = await this.#call.room.request<ICEServerList>('ice-servers', {}).catch(() => ({ data: undefined }));
    if (this.#closed) return;
    if (!data) {
      this.#wait((this.#known?.ttl ?? 0) * retryPart);
      return;
    }
    this.#known = this.#call.setup = { ...this.#call.setup, ttl: undefined, ...data };
    this.#begin(data.ttl);
    this.#changeOver();
  }

  #changeOver(): void {
    const { self, others, sfu, configuration } = this.#call;
    // Those that do without a relay need the credentials when the other side restarts them.
    const pairs = [...others].flatMap(([id, { peer }]) => (peer ? [{ id, peer, generation: peer.generation }] : []));
    for (const { peer } of pairs) peer.connection.setConfiguration(configuration);
    sfu?.peer?.connection.setConfiguration(configuration);

    if (sfu?.peer) void restartRelayed(sfu.peer);
    // A restart has both ends change over. Two who came together are due together, and one of them waits for the other.
    for (const { id, peer } of pairs) if (self > id) void restartRelayed(peer);
    const left = pairs.filter(({ id }) => self < id);
    clearTimeout(this.#pause);
    this.#pause = setTimeout(() => {
      for (const { peer, generation } of left) if (peer.generation === generation) void restartRelayed(peer);
    }, (this.#known?.ttl ?? 0) * pausePart * 1000);
  }
}

async function restartRelayed(path: Path & { restart(): void }): Promise<void> {
  const { connection } = path;
  // Loaded when it is needed first.
  const { pathOf } = await import('./stats');
  // Of a connection that was closed meanwhile, or made anew, there is nothing to move.
  const { relayed } = await pathOf(connection).catch(() => ({ relayed: false }));
  if (relayed && path.connection === connection) path.restart();
}
