import type { Browser, BrowserContextOptions } from 'playwright-core';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { launchChromium, type Devices } from './browser';
import { Person, watchPage, type PageWatch } from './person';
import { installProbe } from './probe';
import { startProxy, type Proxy } from './proxy';
import { startRelay, type Relay } from './relay';
import { Server } from './server';

/** What all tests share, made once. */
export interface Theatre {
  readonly binary: string;
  readonly server: Server;
  readonly browser: Browser;
}

export interface PersonOptions extends BrowserContextOptions {
  readonly devices?: Devices;
  readonly server?: { readonly url: string };
  /** Run in every page before its own code. */
  readonly init?: (() => void) | readonly (() => void)[];
}

let rooms = 0;

/** One test's surroundings: a room of its own and the people in it. Everything made here ends with it. */
export class Scene {
  readonly room = `e2e-${Date.now().toString(36)}-${++rooms}`;
  readonly #theatre: Theatre;
  readonly #people: Person[] = [];
  readonly #watches: PageWatch[] = [];
  readonly #servers: Server[] = [];
  readonly #browsers: Browser[] = [];
  readonly #endings: (() => Promise<unknown>)[] = [];

  constructor(theatre: Theatre) {
    this.#theatre = theatre;
  }

  get server(): Server {
    return this.#theatre.server;
  }

  /** Chromium with fake devices, for pages that are nobody's. */
  get browser(): Browser {
    return this.#theatre.browser;
  }

  /** A server of this test alone, that it may kill. */
  async ownServer(flags: readonly string[] = []): Promise<Server> {
    const server = await Server.start(this.#theatre.binary, flags);
    this.#servers.push(server);
    return server;
  }

  /** A network of its own between somebody and the server. */
  async relay(): Promise<Relay> {
    const relay = await startRelay(this.server.url);
    this.onEnd(() => relay.close());
    return relay;
  }

  /** An HTTP proxy between somebody and the server. */
  async proxy(): Promise<Proxy> {
    const proxy = await startProxy(this.server.url);
    this.onEnd(() => proxy.close());
    return proxy;
  }

  /** A person with a browser profile of their own, on the lobby of the room. */
  async person(name: string, options: PersonOptions = {}): Promise<Person> {
    const { devices = 'fake', server = this.server, init, ...contextOptions } = options;
    const browser = devices === 'fake' ? this.#theatre.browser : await this.#launch(devices);
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-US', ...contextOptions });
    this.onEnd(() => context.close());
    context.setDefaultTimeout(10_000);
    await context.addInitScript(installProbe);
    for (const script of [init ?? []].flat()) await context.addInitScript(script);
    context.on('page', (page) => this.#watches.push(watchPage(page, name, server.url)));
    const person = new Person(name, this.room, server.url, context, await context.newPage());
    this.#people.push(person);
    await person.openLobby();
    return person;
  }

  /** Several people in the room, each with the microphone on and, unless `camera` is false, the camera. */
  async inRoom(names: readonly string[], { camera = true, ...options }: PersonOptions & { camera?: boolean } = {}): Promise<Person[]> {
    const people = await Promise.all(names.map((name) => this.person(name, options)));
    // The first guest of a room becomes its moderator.
    await people[0]?.join({ camera });
    await Promise.all(people.slice(1).map((person) => person.join({ camera })));
    return people;
  }

  onEnd(ending: () => Promise<unknown>): void {
    this.#endings.push(ending);
  }

  /** What no page may do, in any test: uncaught errors, refused content, requests to other origins. */
  async misdeeds(): Promise<string[]> {
    const found = this.#watches.flatMap((watch) => watch.misdeeds);
    for (const { page, name } of this.#watches) {
      if (page.isClosed()) continue;
      const refused = await page.evaluate(() => globalThis.e2e?.violations ?? []).catch(() => []);
      found.push(...refused.map((text) => `${name}: refused by the content security policy: ${text}`));
    }
    return found;
  }

  /** Screenshots of all pages, what they wrote to the console, and the server's log. */
  async record(folder: string): Promise<void> {
    await mkdir(folder, { recursive: true });
    for (const [index, { page, name, console }] of this.#watches.entries()) {
      const file = join(folder, `${index + 1}-${name.replace(/\W+/g, '-')}`);
      await writeFile(`${file}.console.txt`, console.join('\n'));
      if (!page.isClosed()) {
        await page.screenshot({ path: `${file}.png`, timeout: 5_000 }).catch((error: unknown) => console.push(String(error)));
      }
    }
    const servers = [this.server, ...this.#servers];
    for (const [index, server] of servers.entries()) await writeFile(join(folder, `server-${index}.log`), server.log.slice(-200_000));
  }

  async end(): Promise<void> {
    for (const ending of this.#endings.reverse()) await ending().catch(() => undefined);
    for (const browser of this.#browsers) await browser.close();
    for (const server of this.#servers) await server.stop();
  }

  async #launch(devices: Devices): Promise<Browser> {
    const browser = await launchChromium(devices);
    this.#browsers.push(browser);
    return browser;
  }
}
