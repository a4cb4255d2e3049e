import type { BrowserContext, Locator, Page } from 'playwright-core';
import { audioEnergyOf, openConnections, receptionOf, type Reception } from './media';
import { until, untilEqual, type Deadline } from './until';

export interface PageWatch {
  readonly name: string;
  readonly page: Page;
  readonly console: string[];
  readonly misdeeds: string[];
}

/** Notes what a page writes, and what no page of the app may do. */
export function watchPage(page: Page, name: string, origin: string): PageWatch {
  const watch: PageWatch = { name, page, console: [], misdeeds: [] };
  const own = new Set([origin, origin.replace('http', 'ws'), 'null']);
  const request = (url: string): void => {
    // data: and blob: URLs have no host, so nothing leaves the machine.
    if (!own.has(new URL(url).origin)) watch.misdeeds.push(`${name}: a request to ${url}`);
  };
  page.on('request', (one) => request(one.url()));
  page.on('websocket', (socket) => request(socket.url()));
  page.on('console', (line) => {
    watch.console.push(`${line.type()}: ${line.text()} (${line.location().url}:${line.location().lineNumber})`);
    if (/content security policy/i.test(line.text())) watch.misdeeds.push(`${name}: ${line.text()}`);
  });
  page.on('pageerror', (error) => {
    watch.console.push(`uncaught: ${error.stack ?? error.message}`);
    watch.misdeeds.push(`${name}: uncaught ${error.stack ?? error.message}`);
  });
  return watch;
}

export interface Watching {
  readonly frames?: number;
  readonly seconds?: number;
  /** Least difference between the brightest and the darkest spot; Firefox's fake camera is of one colour. */
  readonly range?: number;
}

const differs = (one: Reception, other: Reception): boolean =>
  other.picture.some((value, at) => Math.abs(value - (one.picture[at] ?? 0)) > 8);

/** Waits until `ask` has told of `frames` more frames, of a picture that is not flat and has changed. */
export async function untilMoving(what: string, ask: () => Promise<Reception | null>, { frames = 30, seconds = 15, range = 50 }: Watching = {}): Promise<void> {
  let first: Reception | null = null;
  let now: Reception | null = null;
  const enough = async (): Promise<boolean> => {
    now = await ask();
    first ??= now;
    return now !== null && first !== null && now.frames >= first.frames + frames && now.range >= range && differs(first, now);
  };
  await until(what, enough, { seconds }).catch((error: unknown) => {
    const got = now === null ? 'no picture' : `${now.frames - (first?.frames ?? 0)} of ${frames} frames, range ${now.range}`;
    throw new Error(`not within ${seconds} s: ${what} (${got})`, { cause: error });
  });
}

export type Source = 'camera' | 'screen';
export type Panel = 'chat' | 'people' | 'bots';

/** One person in front of one page of the app, and what they can do and see there. */
export class Person {
  readonly name: string;
  readonly room: string;
  readonly url: string;
  readonly context: BrowserContext;
  readonly page: Page;

  constructor(name: string, room: string, url: string, context: BrowserContext, page: Page) {
    this.name = name;
    this.room = room;
    this.url = url;
    this.context = context;
    this.page = page;
  }

  find(testId: string, within: Page | Locator = this.page): Locator {
    return within.getByTestId(testId);
  }

  /* ------------------------------------------------------------ in and out */

  async openLobby(): Promise<void> {
    await this.page.goto(`${this.url}/r/${this.room}`);
    await this.find('lobby-name').waitFor();
  }

  async join({ camera = true }: { camera?: boolean } = {}): Promise<void> {
    await this.find('lobby-name').fill(this.name);
    if (camera) await this.press('camera-toggle', true);
    await this.find('lobby-join').click();
    await this.entered();
  }

  async entered(): Promise<void> {
    await this.find('stage').waitFor({ timeout: 15_000 });
  }

  /** Another tab of the same browser: the same person. It finds the name in the lobby. */
  async secondTab(): Promise<Person> {
    const twin = new Person(this.name, this.room, this.url, this.context, await this.context.newPage());
    await twin.openLobby();
    await twin.find('lobby-join').click();
    await twin.entered();
    return twin;
  }

  async reload(): Promise<void> {
    await this.page.reload();
    await this.entered();
  }

  /** Clicks a toggle and waits until it shows the new state. */
  async press(testId: string, on: boolean): Promise<void> {
    const button = this.find(testId);
    const pressed = (): Promise<string | null> => button.getAttribute('aria-pressed');
    await until(`${testId} can be used`, () => button.isEnabled());
    if ((await pressed()) !== String(on)) await button.click();
    await untilEqual(`${testId} of ${this.name}`, pressed, String(on));
  }

  /* ------------------------------------------------------------ the call */

  tiles(source: Source = 'camera'): Locator {
    return this.page.locator(`[data-testid="tile"][data-source="${source}"]`);
  }

  tile(participant: string, source: Source = 'camera'): Locator {
    return this.page.locator(`[data-testid="tile"][data-source="${source}"][data-participant="${participant}"]`);
  }

  /** The id that the server gave this page. */
  async id(): Promise<string> {
    const own = this.page.locator('[data-testid="tile"][data-self="true"]').first();
    return until(`${this.name} has a tile`, () => own.getAttribute('data-participant'));
  }

  reception(participant: string, source: Source = 'camera'): Promise<Reception | null> {
    return this.page.evaluate(receptionOf, { participant, source });
  }

  /** Waits until `frames` more frames than now were decoded, and until the picture is not flat and has changed. */
  async sees(other: Person, { source = 'camera', frames, seconds }: { source?: Source } & Watching = {}): Promise<void> {
    const participant = await other.id();
    await untilMoving(`${this.name} sees the ${source} of ${other.name}`, () => this.reception(participant, source), { frames, seconds });
  }

  async hears(other: Person, { seconds = 15 }: Deadline = {}): Promise<void> {
    const participant = await other.id();
    const energy = (): Promise<number> => this.page.evaluate(audioEnergyOf, participant);
    const before = await energy();
    await until(`${this.name} hears ${other.name}`, async () => (await energy()) > before, { seconds });
  }

  /** The peer connections that are connected, as numbers that stay theirs. */
  connections(): Promise<number[]> {
    return this.page.evaluate(openConnections);
  }

  /* ------------------------------------------------------------ chat and people */

  async open(panel: Panel): Promise<void> {
    await this.press(`${panel}-toggle`, true);
  }

  async close(panel: Panel): Promise<void> {
    await this.press(`${panel}-toggle`, false);
  }

  async write(text: string): Promise<void> {
    await this.find('chat-input').fill(text);
    await this.find('chat-send').click();
  }

  messages(): Locator {
    return this.find('chat-message');
  }

  message(text: string): Locator {
    return this.messages().filter({ hasText: text });
  }

  /** Waits until `text` stands in the chat as a stored message. */
  async reads(text: string, { seconds = 15 }: Deadline = {}): Promise<Locator> {
    const message = this.message(text).and(this.page.locator('[data-status="sent"]')).first();
    await until(`${this.name} reads "${text}"`, () => message.isVisible(), { seconds });
    return message;
  }

  /** Every `#word` in the chat in the order shown: with marked messages, exactly what was said. */
  transcript(): Promise<string[]> {
    return this.messages().evaluateAll((rows) => rows.flatMap((row) => row.textContent?.match(/#[a-z]+-\d+/g) ?? []));
  }

  /** Those in the people panel, each by name, however many tabs they have. */
  async people(): Promise<string[]> {
    return (await this.find('person').locator('bdi').allTextContents()).sort();
  }

  /** Chooses from the menu of somebody in the people panel. */
  async moderate(other: Person, action: 'mute' | 'promote' | 'demote' | 'kick' | 'ban'): Promise<void> {
    await this.open('people');
    await this.find('person').filter({ hasText: other.name }).getByTestId('person-actions').click();
    await this.find(`moderate-${action}`).click();
  }

  /** Opens a dialog from the menu at the end of the controls; by place, so that it works in every language. */
  async openDialog(name: 'invite' | 'settings' | 'help'): Promise<Locator> {
    await this.find('more-menu').click();
    await this.page.getByRole('menuitem').nth(['invite', 'settings', 'help'].indexOf(name)).click();
    const dialog = this.page.getByRole('dialog');
    await dialog.waitFor();
    return dialog;
  }

  /** Chooses from the menu of the message that contains `text`. */
  async chooseForMessage(text: string, item: string): Promise<void> {
    const message = this.message(text).first();
    await message.hover();
    await message.getByTestId('chat-actions').click();
    await this.find(item).click();
  }

  /* ------------------------------------------------------------ what assistive technology hears */

  async announced(pattern: RegExp, { seconds = 10 }: Deadline = {}): Promise<void> {
    const said = (): Promise<string[]> => this.page.evaluate(() => globalThis.e2e.announcements);
    await until(`${this.name} is told ${String(pattern)}`, async () => (await said()).some((text) => pattern.test(text)), { seconds });
  }
}
