import { once } from 'node:events';
import { createServer, type Server } from 'node:http';

interface Call {
  id?: number;
  method: string;
  params?: { protocolVersion?: string; name?: string; arguments?: unknown };
}

/** An MCP server (streamable HTTP, plain JSON answers) with one tool that writes: it opens tickets. */
export class Desk {
  /** What tickets were opened with. */
  readonly tickets: unknown[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<Desk> {
    const server = createServer();
    const desk = new Desk(server);
    server.on('request', (request, response) => {
      let body = '';
      request.on('data', (part: Buffer) => (body += part.toString()));
      request.on('end', () => {
        if (request.method !== 'POST') return void response.writeHead(405).end();
        const call = JSON.parse(body) as Call;
        if (call.id === undefined) return void response.writeHead(202).end();
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ jsonrpc: '2.0', id: call.id, result: desk.#answer(call) }));
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return desk;
  }

  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the desk does not listen');
    return `http://127.0.0.1:${address.port}/mcp`;
  }

  close(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  #answer({ method, params }: Call): object {
    switch (method) {
      case 'initialize':
        return { protocolVersion: params?.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'desk', version: '1' } };
      case 'tools/list':
        return {
          tools: [{
            name: 'open_ticket', title: 'Opens a ticket', description: 'Opens a ticket.',
            inputSchema: { type: 'object', properties: { title: { type: 'string' }, urgent: { type: 'boolean' } }, required: ['title'] },
          }],
        };
      case 'tools/call':
        this.tickets.push(params?.arguments);
        return { content: [{ type: 'text', text: `ticket ${this.tickets.length} is open` }] };
      default:
        return {};
    }
  }
}
