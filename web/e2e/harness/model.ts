import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './until';

/** What a bot asks of the model: one turn of an answer. The test says what comes back, and when. */
export class Turn {
  /** What was said to the model last. */
  readonly asked: string;
  /** The bot does not want the rest any more. */
  given = false;
  readonly #response: ServerResponse;

  constructor(asked: string, response: ServerResponse) {
    this.asked = asked;
    this.#response = response;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.on('close', () => (this.given = true));
  }

  say(text: string): void {
    this.#delta({ content: text });
  }

  think(text: string): void {
    this.#delta({ reasoning_content: text });
  }

  /** Asks for a tool, whose output comes with the next turn. */
  use(tool: string, input: object): void {
    this.#delta({ tool_calls: [{ index: 0, id: 'call-1', type: 'function', function: { name: tool, arguments: JSON.stringify(input) } }] });
    this.#end('tool_calls');
  }

  end(): void {
    this.#end('stop');
  }

  /** The connection breaks in the middle. */
  break(): void {
    this.#response.destroy();
  }

  #delta(delta: object): void {
    this.#send({ model: 'test-model', choices: [{ index: 0, delta }] });
  }

  #end(reason: string): void {
    this.#send({ choices: [{ index: 0, delta: {}, finish_reason: reason }], usage: { prompt_tokens: 1200, completion_tokens: 34 } });
    this.#response.end('data: [DONE]\n\n');
  }

  #send(event: object): void {
    this.#response.write(`data: ${JSON.stringify(event)}\n\n`);
  }
}

/** A language model for which the test speaks: as much of OpenAI's chat completions as a bot needs. */
export class Model {
  readonly #server: Server;
  readonly #turns: Turn[] = [];
  #folder = '';

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<Model> {
    const server = createServer();
    const model = new Model(server);
    server.on('request', (request, response) => {
      let body = '';
      request.on('data', (part: Buffer) => (body += part.toString()));
      request.on('end', () => {
        const { messages } = JSON.parse(body) as { messages: { content: string | null }[] };
        model.#turns.push(new Turn(messages.at(-1)?.content ?? '', response));
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return model;
  }

  /** The next turn that a bot asks for. */
  async turn(): Promise<Turn> {
    await until('a bot asks the model', () => this.#turns.length > 0, { everyMs: 20 });
    return this.#turns.shift() as Turn;
  }

  /** A file for --bots: Sage, for whom this model answers, and Pal, who needs none and wants to be asked once a minute.
   * With the address of an MCP server Sage has its tools, too. */
  async bots(desk?: string): Promise<string> {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the model does not listen');
    this.#folder = await mkdtemp(join(tmpdir(), 'confab-e2e-bots-'));
    const file = join(this.#folder, 'bots.yaml');
    await writeFile(file, `
providers:
  test: {api: openai, url: "http://127.0.0.1:${address.port}", model: test-model}
mcp: {${desk === undefined ? '' : `desk: {url: "${desk}"}`}}
bots:
  - id: sage
    name: Sage
    avatar: 🦉
    description: Knows a lot.
    provider: test
    tools: [roll_dice${desk === undefined ? '' : ', desk__*'}]
    prompts: [Tell me a story]
  - {id: pal, name: Pal, avatar: 🙂, description: Good company., skills: [companion], limits: {requestsPerMinute: 1}}
`);
    return file;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    if (this.#folder !== '') await rm(this.#folder, { recursive: true, force: true });
  }
}
