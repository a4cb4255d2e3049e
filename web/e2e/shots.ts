// Takes the picture of the README: `npm run e2e -- --shots` writes web/screenshot.png.
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launchChromium } from './harness/browser';
import { Person } from './harness/person';
import { installPortrait, portraits } from './harness/portrait';
import { installProbe } from './harness/probe';
import { buildServer, Server } from './harness/server';
import { until, untilEqual } from './harness/until';

const file = 'screenshot.png';
const size = { width: 1440, height: 900 };

type Cast = [Person, Person, Person];

async function talk([mira, jonas, amara]: Cast): Promise<void> {
  const said: [Person, string][] = [
    [jonas, 'Which ferry on **Saturday**?'],
    [amara, 'Two would work for us:\n\n- 8:15, arrives 9:05\n- 10:40, arrives 11:25'],
    [mira, 'Then the early one, with breakfast!'],
    [jonas, 'The route is in our notes:\n\n```js\nconst stops = ["Pier", "Mill"];\n```'],
    [amara, 'The mill has to be booked ahead'],
  ];
  for (const [person, text] of said) {
    await person.write(text);
    await mira.reads(text.slice(0, 12).replace(/\*+.*/, ''));
  }
  for (const [person, emoji] of [[jonas, '👍'], [amara, '👍'], [jonas, '🎉']] as const) {
    const message = person.message('Then the early one');
    await message.hover();
    await message.getByTestId('chat-actions').click();
    await person.page.getByRole('menuitem', { name: emoji }).click();
  }
  await mira.message('mill has to be booked').hover();
  await mira.message('mill has to be booked').getByTestId('chat-reply').click();
  await mira.write('Thank you, @Amara! See you at the harbour.');
  await mira.reads('See you at the harbour');
}

async function shoot(server: Server): Promise<void> {
  const browser = await launchChromium('fake');
  try {
    const people = await Promise.all(
      portraits.map(async (portrait) => {
        const context = await browser.newContext({ viewport: size, colorScheme: 'light', locale: 'en-US' });
        await context.addInitScript(installProbe);
        await context.addInitScript(installPortrait, portrait);
        const person = new Person(portrait.name, 'island-trip', server.url, context, await context.newPage());
        await person.openLobby();
        return person;
      }),
    );
    for (const person of people) await person.join();
    const [mira, jonas, amara] = people as Cast;
    for (const person of people) await person.open('chat');
    await talk([mira, jonas, amara]);
    // The encoders begin small: the picture is taken when they have found out what the network bears.
    for (const person of [jonas, amara]) {
      const id = await person.id();
      await until(`the picture of ${person.name} is sharp`, async () => ((await mira.reception(id))?.width ?? 0) >= 960, { seconds: 60 });
    }
    await untilEqual('"Seen by" under the last message', () => mira.find('seen-by').count(), 1);
    // Neither a hovered message nor the composer's ring belongs into a picture of the room.
    await mira.page.mouse.move(400, 4);
    await mira.page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
    await mira.page.screenshot({ path: file, animations: 'disabled' });
  } finally {
    await browser.close();
  }
}

const folder = await mkdtemp(join(tmpdir(), 'confab-shots-'));
const server = await Server.start(await buildServer(folder));
try {
  await shoot(server);
  process.stdout.write(`${file}: ${Math.round((await stat(file)).size / 1024)} KB\n`);
} finally {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
}
