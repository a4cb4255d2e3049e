import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

/** What one direction of a path does to datagrams. All off by default. */
export interface Conditions {
  /** Share of datagrams that are lost, 0 to 1, at random with a fixed seed. */
  readonly loss?: number;
  readonly delayMs?: number;
  /** Up to so much more delay, evenly spread; datagrams may overtake each other. */
  readonly jitterMs?: number;
  /** Kilobits a second. What comes faster waits in a queue of `queueMs`; beyond that it is lost. */
  readonly kbps?: number;
  readonly queueMs?: number;
  /** Nothing passes. */
  readonly cut?: boolean;
}

/** Where the link listens; the server is told to announce it as its own address. */
export const linkHost = '127.0.0.2';
const serverHost = '127.0.0.1';

/** One direction of one client's path. */
class Direction {
  conditions: Conditions = {};
  /** Until when the wire is busy with what was taken before. */
  #busyUntil = 0;
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = mulberry32(seed);
  }

  pass(bytes: number, deliver: () => void): void {
    const { loss = 0, delayMs = 0, jitterMs = 0, kbps = 0, queueMs = 200, cut = false } = this.conditions;
    // Drawn for every datagram, so that one run is like another.
    const [lot, lateness] = [this.#random(), this.#random()];
    if (cut || lot < loss) return;
    const now = performance.now();
    let at = now;
    if (kbps > 0) {
      const begins = Math.max(now, this.#busyUntil);
      if (begins - now > queueMs) return;
      // 28 bytes of IPv4 and UDP header.
      this.#busyUntil = at = begins + ((bytes + 28) * 8) / kbps;
    }
    at += delayMs + lateness * jitterMs;
    if (at - now < 0.5) deliver();
    else setTimeout(deliver, at - now);
  }
}

/** A small generator with a seed; Math.random has none. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

interface Path {
  readonly up: Direction;
  readonly down: Direction;
  readonly socket: Socket;
}

/**
 * A network between browsers and the server's media port: every client has a path of its own, with conditions of its
 * own. It stands in user space, so that it needs neither privileges nor a kernel that can do this.
 */
export class UdpLink {
  readonly #front: Socket;
  readonly #port: number;
  readonly #paths = new Map<number, Path>();
  #closed = false;

  private constructor(front: Socket, port: number) {
    this.#front = front;
    this.#port = port;
    front.on('message', (datagram, from) => {
      const path = this.#path(from.port, from.address);
      path.up.pass(datagram.length, () => this.#closed || path.socket.send(datagram, this.#port, serverHost, ignore));
    });
  }

  /** Stands before the media port `port` of a server that was started with `--public-ip` and linkHost. */
  static async start(port: number): Promise<UdpLink> {
    const front = createSocket('udp4');
    front.bind(port, linkHost);
    await once(front, 'listening');
    front.setRecvBufferSize(1 << 20);
    return new UdpLink(front, port);
  }

  /** Sets the conditions of the client whom the server sees at this port, both ways. */
  set(seenAt: number, conditions: Conditions): void {
    const paths = [...this.#paths.values()];
    const path = paths.find(({ socket }) => socket.address().port === seenAt);
    if (!path) throw new Error(`nobody is seen at port ${seenAt}; there are ${paths.map(({ socket }) => socket.address().port).join(', ')}`);
    path.up.conditions = path.down.conditions = conditions;
  }

  /** What is still on its way is lost. */
  close(): void {
    this.#closed = true;
    this.#front.close();
    for (const { socket } of this.#paths.values()) socket.close();
    this.#paths.clear();
  }

  #path(client: number, address: string): Path {
    const known = this.#paths.get(client);
    if (known) return known;
    const socket = createSocket('udp4');
    const seed = this.#paths.size * 2 + 1;
    const path = { up: new Direction(seed), down: new Direction(seed + 1), socket };
    this.#paths.set(client, path);
    socket.bind(0, serverHost);
    socket.on('message', (datagram) => {
      path.down.pass(datagram.length, () => this.#closed || this.#front.send(datagram, client, address, ignore));
    });
    return path;
  }
}

/** What cannot be sent is lost, as on any network; what is sent after the end goes nowhere. */
const ignore = (): void => undefined;
