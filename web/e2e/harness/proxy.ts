import { once } from 'node:events';
import { createServer, request, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/**
 * An HTTP proxy in front of a server, such as stand in some companies: it may know nothing of WebSockets, and may pass
 * an answer on when it is whole and no sooner.
 */
export interface Proxy {
  readonly url: string;
  /** Upgrades are refused, and those that were let through are cut. */
  blocking: boolean;
  /** Answers are held back until they have ended. */
  buffering: boolean;
  /** Requests so far, as `METHOD /path`; an upgrade is `UPGRADE /path`. */
  readonly requests: readonly string[];
  close(): Promise<void>;
}

export async function startProxy(target: string): Promise<Proxy> {
  const { hostname, port } = new URL(target);
  const requests: string[] = [];
  const sockets = new Set<Duplex>();
  const upgraded = new Set<Duplex>();
  const state = { blocking: false, buffering: false };
  const pathOf = ({ url }: IncomingMessage): string => (url ?? '').replace(/\?.*/, '');

  const server = createServer((near, answer) => {
    requests.push(`${near.method} ${pathOf(near)}`);
    // The Host stays: the page's origin is that of the proxy.
    const far = request({ hostname, port, method: near.method, path: near.url, headers: near.headers }, (response) => {
      const head = (): void => void answer.writeHead(response.statusCode ?? 502, response.headers);
      if (state.buffering) {
        const held: Buffer[] = [];
        response.on('data', (bytes: Buffer) => held.push(bytes));
        response.on('end', () => {
          head();
          answer.end(Buffer.concat(held));
        });
      } else {
        head();
        answer.flushHeaders();
        response.pipe(answer);
      }
      response.on('error', () => answer.destroy());
    });
    far.on('error', () => answer.destroy());
    answer.on('close', () => far.destroy());
    near.pipe(far);
  });

  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('upgrade', (near, socket: Duplex) => {
    requests.push(`UPGRADE ${pathOf(near)}`);
    if (state.blocking) {
      socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    const far = connect(Number(port), hostname, () => {
      const headers = near.rawHeaders.flatMap((text, i) => (i % 2 === 0 ? [`${text}: ${near.rawHeaders[i + 1]}`] : []));
      far.write([`GET ${near.url} HTTP/1.1`, ...headers, '', ''].join('\r\n'));
      far.pipe(socket).pipe(far);
    });
    upgraded.add(socket);
    for (const [one, other] of [[socket, far], [far, socket]] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
    socket.on('close', () => upgraded.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');

  return {
    url: `http://127.0.0.1:${address.port}`,
    requests,
    get blocking() { return state.blocking; },
    set blocking(on) {
      state.blocking = on;
      if (on) for (const socket of upgraded) socket.destroy();
    },
    get buffering() { return state.buffering; },
    set buffering(on) { state.buffering = on; },
    async close() {
      for (const socket of [...sockets, ...upgraded]) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
