import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { resolve } from 'node:path';

/**
 * A speech service that says everything in the same tone, 3 s long, and hears what the test wants: as much of OpenAI's API as
 * a voice and an ear need.
 */
export class Speech {
  /** What it was given to say. */
  readonly said: string[] = [];
  /** What it will have heard, in this order; then nothing. */
  readonly words: string[] = [];
  readonly #server: Server;

  private constructor(sound: Buffer) {
    this.#server = createServer((request, response) => {
      let body = '';
      request.on('data', (part: Buffer) => (body += part.toString()));
      request.on('end', () => {
        if (request.url === '/audio/transcriptions') {
          const text = body.includes('OggS') ? (this.words.shift() ?? '') : 'This is no sound.';
          response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ text }));
          return;
        }
        const { input } = JSON.parse(body) as { input: string };
        this.said.push(input);
        response.writeHead(200, { 'content-type': 'audio/ogg' }).end(sound);
      });
    });
  }

  static async start(): Promise<Speech> {
    // The runner stands in web/.
    const speech = new Speech(await readFile(resolve('../bots/voice/testdata/tone.ogg')));
    speech.#server.listen(0, '127.0.0.1');
    await once(speech.#server, 'listening');
    return speech;
  }

  /** What stands of it in a file for --bots. */
  settings(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the speech service does not listen');
    const url = `http://127.0.0.1:${address.port}`;
    return `\nspeech: {url: "${url}", model: tone, voice: hum}\nhearing: {url: "${url}", model: shorthand}\n`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
