import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { resolve } from 'node:path';

/** A speech service that says everything in the same tone, 3 s long: as much of OpenAI's API as a voice needs. */
export class Speech {
  /** What it was given to say. */
  readonly said: string[] = [];
  readonly #server: Server;

  private constructor(sound: Buffer) {
    this.#server = createServer((request, response) => {
      let body = '';
      request.on('data', (part: Buffer) => (body += part.toString()));
      request.on('end', () => {
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
    return `\nspeech: {url: "http://127.0.0.1:${address.port}", model: tone, voice: hum}\n`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
