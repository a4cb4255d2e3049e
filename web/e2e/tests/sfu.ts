import { launchFirefox } from '../harness/firefox';
import { audioEnergyOf, longestGap, receivedOf, receptionOf, watchFrames } from '../harness/media';
import { untilMoving, type Person } from '../harness/person';
import { installProbe } from '../harness/probe';
import type { Scene } from '../harness/scene';
import { test } from '../harness/suite';
import { assert, until, untilEqual } from '../harness/until';

const pairs = (people: readonly Person[]): [Person, Person][] =>
  people.flatMap((one) => people.filter((other) => other !== one).map((other): [Person, Person] => [one, other]));

/** People in a room of a server whose every call goes through its SFU. */
async function through(scene: Scene, names: readonly string[]): Promise<Person[]> {
  return scene.inRoom(names, { server: await scene.ownServer(['--mesh-max', '0']) });
}

const seeAndHear = (people: readonly Person[], seconds = 20): Promise<unknown> =>
  Promise.all(pairs(people).flatMap(([one, other]) => [one.sees(other, { seconds }), one.hears(other, { seconds })]));

/** Everybody has one connection, whoever else is there: the one with the SFU. */
const oneConnectionEach = (people: readonly Person[]): Promise<unknown> =>
  Promise.all(people.map((person) => untilEqual(`connections of ${person.name}`, async () => (await person.connections()).length, 1, { seconds: 20 })));

test('sfu: three people see and hear each other, and each other\'s screens', async (scene) => {
  const people = (await through(scene, ['Ada', 'Grace', 'Alan'])) as [Person, Person, Person];
  const [ada, grace, alan] = people;
  await seeAndHear(people);
  await oneConnectionEach(people);

  const tile = grace.tile(await ada.id());
  const state = async (): Promise<string> =>
    `muted ${await tile.getAttribute('data-muted')}, camera ${await tile.getAttribute('data-camera')}, video ${await tile.locator('video').count()}`;
  await ada.press('mic-toggle', false);
  await ada.press('camera-toggle', false);
  await untilEqual('tile of Ada', state, 'muted true, camera false, video 0');
  await ada.press('mic-toggle', true);
  await ada.press('camera-toggle', true);
  await untilEqual('tile of Ada', state, 'muted false, camera true, video 1');
  await Promise.all([grace.sees(ada), grace.hears(ada)]);

  await ada.press('share-toggle', true);
  await alan.press('share-toggle', true);
  await Promise.all([grace.sees(ada, { source: 'screen' }), alan.sees(ada, { source: 'screen' }), grace.sees(alan, { source: 'screen' })]);
  await ada.press('share-toggle', false);
  await untilEqual('screens that Grace sees', () => grace.tiles('screen').count(), 1);
  await ada.press('share-toggle', true);
  await grace.sees(ada, { source: 'screen' });
}, { limit: 120 });

test('sfu: a reload and an ICE restart keep the call', async (scene) => {
  const people = (await through(scene, ['Ada', 'Grace'])) as [Person, Person];
  const [ada, grace] = people;
  await seeAndHear(people);
  await ada.reload();
  await ada.press('camera-toggle', true);
  await seeAndHear(people);

  const before = await grace.connections();
  const ufrags = (): Promise<string[]> => grace.page.evaluate(() =>
    globalThis.e2e.connections.map((one) => /a=ice-ufrag:(\S+)/.exec(one.remoteDescription?.sdp ?? '')?.[1] ?? ''));
  const [ufrag] = await ufrags();
  await grace.page.evaluate(() => globalThis.e2e.connections.at(-1)?.restartIce());
  await until('the SFU has answered with new credentials', async () => (await ufrags())[0] !== ufrag);
  await seeAndHear(people);
  await untilEqual('connections of Grace', () => grace.connections(), before);
}, { limit: 90 });

test('sfu: six people all see all others', async (scene) => {
  const people = await through(scene, ['Ada', 'Grace', 'Alan', 'Edsger', 'Barbara', 'Donald']);
  await seeAndHear(people, 60);
  await oneConnectionEach(people);
}, { limit: 180 });

/** What a change may take. */
const gapLimitMs = 300;
/** Between two frames of the fake cameras. */
const frameMs = 100;
/** A machine on which one's own camera stands still no longer between two frames has time. */
const quietMs = 125;
/** On another one the rest, encoders and decoders, has as little; that much more does not show in the own cameras. */
const busyMs = 200;

test('sfu: a call of two goes to the server for a screen and back, and nobody sees it', async (scene) => {
  const people = (await scene.inRoom(['Ada', 'Grace'])) as [Person, Person];
  const [ada, grace] = people;
  await seeAndHear(people);
  const pair = await ada.connections();
  for (const one of people) for (const other of people) await one.page.evaluate(watchFrames, await other.id());

  await ada.press('share-toggle', true);
  await grace.sees(ada, { source: 'screen' });
  await untilEqual('the pair of Ada and Grace', async () => (await ada.connections()).some((index) => pair.includes(index)), false, { seconds: 20 });
  await oneConnectionEach(people);
  await seeAndHear(people);
  await untilUnbroken(people, 'from browser to browser to the server');

  const server = await ada.connections();
  await ada.press('share-toggle', false);
  // The room stays with the server for a while, in case that the next screen comes.
  await untilEqual('the connection of Ada with the server', async () => (await ada.connections()).some((index) => server.includes(index)), false, { seconds: 40 });
  await oneConnectionEach(people);
  await seeAndHear(people);
  await untilUnbroken(people, 'from the server to browser to browser');
}, { limit: 150 });

/**
 * Says and checks how long the cameras stood still at most. One's own camera comes by no network: when it stands still,
 * so does the machine, and nobody can be shown what was not filmed.
 */
async function untilUnbroken(people: readonly Person[], change: string): Promise<void> {
  const own = new Map(await Promise.all(people.map(async (one) => [one, (await one.page.evaluate(longestGap, await one.id())).gap] as const)));
  for (const [one, other] of pairs(people)) {
    const { gap, frames } = await one.page.evaluate(longestGap, await other.id());
    const still = [own.get(one) ?? 0, own.get(other) ?? 0] as const;
    const limit = gapLimitMs + frameMs + (Math.max(...still) <= quietMs ? 0 : busyMs + still[0] + still[1]);
    process.stdout.write(`      ${change}: ${one.name} saw ${frames} frames of ${other.name}, longest gap ${gap} ms (own cameras: ${still.join(' and ')} ms)\n`);
    assert(frames > 20, `${one.name} sees ${other.name} all the time`);
    assert(gap <= limit, `${one.name} saw nothing new of ${other.name} for ${gap} ms, of ${limit}; the own cameras stood still for ${still.join(' and ')} ms`);
  }
}

const byId = (testId: string): string => `[data-testid="${testId}"]`;

test('sfu: Firefox and Chromium see and hear each other through the server', async (scene) => {
  const [ada] = (await through(scene, ['Ada'])) as [Person];
  const firefox = await launchFirefox();
  scene.onEnd(() => firefox.close());
  const page = await firefox.newPage();
  await page.evaluateOnNewDocument(installProbe);
  await page.goto(`${ada.url}/r/${ada.room}`);
  await page.locator(byId('lobby-name')).fill('Grace');
  await page.locator(byId('camera-toggle')).click();
  await page.waitForSelector(`${byId('camera-toggle')}[aria-pressed="true"]`);
  await page.locator(byId('lobby-join')).click();
  await page.waitForSelector(byId('stage'));

  const grace = await until('Grace has a tile', () =>
    page.evaluate(() => document.querySelector('[data-testid="tile"][data-self="true"]')?.getAttribute('data-participant')),
  );
  const id = await ada.id();
  const energyOfAda = (): Promise<number> => page.evaluate(audioEnergyOf, id);
  const energyOfGrace = (): Promise<number> => ada.page.evaluate(audioEnergyOf, grace);
  await Promise.all([
    untilMoving('Firefox sees Chromium', () => page.evaluate(receptionOf, { participant: id, source: 'camera' }), { seconds: 30 }),
    untilMoving('Chromium sees Firefox', () => ada.reception(grace), { seconds: 30, range: 15 }),
    until('Firefox hears Chromium', async () => (await energyOfAda()) > 0, { seconds: 30 }),
    until('Chromium hears Firefox', async () => (await energyOfGrace()) > 0, { seconds: 30 }),
  ]);
  await oneConnectionEach([ada]);
  await ada.press('share-toggle', true);
  await untilMoving('Firefox sees the screen of Chromium', () => page.evaluate(receptionOf, { participant: id, source: 'screen' }), { seconds: 30 });
  const codec = await page.evaluate(receivedOf, { participant: id, source: 'screen' });
  process.stdout.write(`      Firefox receives the screen in ${codec?.codec}\n`);
}, { limit: 90 });
