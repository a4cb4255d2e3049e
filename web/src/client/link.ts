import type { WebSocketConstructor, WebSocketLike } from './types';
import type { Envelope } from './wire';
import { SUBPROTOCOL } from './wire';

/** From the constructor to `connected`. */
export const connectTimeoutMs = 10_000;
/** From a probe to whatever the server says next. */
export const probeTimeoutMs = 4_000;
/** While the page is used, silence for this long is probed: with the time above a dead link shows within 11 s. */
export const quietMs = 7_000;

const encoder = new TextEncoder();
export const byteLength = (text: string): number => encoder.encode(text).length;

export interface LinkHandlers {
  open(): void;
  message(envelope: Envelope): void;
  /** Called once, for every end but close(). 1006 also for a link that was found dead. */
  lost(code: number, reason: string): void;
  /** Whether a dead link should be noticed soon. */
  active(): boolean;
}

/**
 * One WebSocket, from its opening to its end: framing, batching, and finding out that the network
 * is gone although the socket says it is open.
 */
export class Link {
  readonly #socket: WebSocketLike;
  readonly #handlers: LinkHandlers;
  #lines: string[] = [];
  #frameBytes = 4096;
  #heartbeatMs = 0;
  #lastSent = 0;
  #lastReceived = 0;
  #watch: ReturnType<typeof setTimeout> | undefined;
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  constructor(WebSocket: WebSocketConstructor, url: string, handlers: LinkHandlers) {
    this.#handlers = handlers;
    this.#socket = new WebSocket(url, SUBPROTOCOL);
    this.#socket.onopen = () => handlers.open();
    this.#socket.onmessage = (event) => this.#receive(event.data);
    this.#socket.onclose = (event) => this.#end(event.code, event.reason);
    this.#socket.onerror = null;
    this.#expect(connectTimeoutMs);
  }

  /** The server has accepted us: from here on liveness is watched. */
  established(heartbeatMs: number, frameBytes: number): void {
    this.#heartbeatMs = heartbeatMs;
    this.#frameBytes = frameBytes;
    clearTimeout(this.#deadline);
    this.#deadline = undefined;
    this.#schedule();
  }

  /** Sends one message, together with all others of this microtask. */
  post(line: string): void {
    if (this.#lines.push(line) === 1) queueMicrotask(() => this.#flush());
  }

  /** Asks for a sign of life; without one the link ends with 1006. */
  probe(): void {
    if (this.#ended || this.#heartbeatMs === 0 || this.#deadline !== undefined) return;
    this.post('{"type":"ping"}');
    this.#expect(probeTimeoutMs);
  }

  #expect(withinMs: number): void {
    this.#deadline = setTimeout(() => this.#end(1006, 'no answer'), withinMs);
  }

  /** Ends without a word to the handlers. */
  close(reason: string): void {
    if (this.#ended) return;
    this.#flush();
    this.#ended = true;
    this.#release();
    this.#socket.close(1000, reason);
  }

  #flush(): void {
    const lines = this.#lines;
    this.#lines = [];
    if (this.#ended || this.#socket.readyState !== 1) return;
    let frame = '';
    for (const line of lines) {
      if (frame !== '' && byteLength(frame + line) >= this.#frameBytes) {
        this.#socket.send(frame);
        frame = '';
      }
      frame += frame === '' ? line : `\n${line}`;
    }
    if (frame !== '') this.#socket.send(frame);
    this.#lastSent = Date.now();
  }

  #receive(data: unknown): void {
    if (this.#ended || typeof data !== 'string') return;
    this.#lastReceived = Date.now();
    if (this.#heartbeatMs > 0) {
      clearTimeout(this.#deadline);
      this.#deadline = undefined;
    }
    for (const line of data.split('\n')) {
      let envelope: Envelope | null = null;
      try {
        envelope = JSON.parse(line) as Envelope;
      } catch {
        // An empty line; and one that cannot be read takes the others not with it.
      }
      if (typeof envelope?.type === 'string') this.#handlers.message(envelope);
      // A handler may have ended this link: what follows belongs to nobody.
      if (this.#ended) return;
    }
  }

  /** Pings when we have said nothing for a heartbeat, or heard nothing for as long as is tolerable. */
  #schedule(): void {
    clearTimeout(this.#watch);
    if (this.#ended) return;
    const silence = this.#handlers.active() ? Math.min(quietMs, this.#heartbeatMs) : this.#heartbeatMs;
    const left = Math.min(this.#lastSent + this.#heartbeatMs, this.#lastReceived + silence) - Date.now();
    if (left <= 0) this.probe();
    this.#watch = setTimeout(() => this.#schedule(), left <= 0 ? Math.min(probeTimeoutMs, this.#heartbeatMs) : left);
  }

  #end(code: number, reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#release();
    // On a dead network the closing handshake hangs: we do not wait for it. What is closed stays so.
    this.#socket.close();
    this.#handlers.lost(code, reason);
  }

  #release(): void {
    clearTimeout(this.#watch);
    clearTimeout(this.#deadline);
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    // A socket that fails after its end must not raise an uncaught error where the platform has such.
    this.#socket.onerror = () => undefined;
  }
}
