import type { Person } from '../harness/person';
import { test } from '../harness/suite';
import { assert, assertEqual, until, untilEqual } from '../harness/until';

const pairs = (people: readonly Person[]): [Person, Person][] =>
  people.flatMap((one) => people.filter((other) => other !== one).map((other): [Person, Person] => [one, other]));

test('media: three people see and hear each other', async (scene) => {
  const people = await scene.inRoom(['Ada', 'Grace', 'Alan']);
  await Promise.all(pairs(people).flatMap(([one, other]) => [one.sees(other), one.hears(other)]));
});

test('media: screens are seen by the others, two at once, until they are stopped', async (scene) => {
  const [ada, grace, alan] = (await scene.inRoom(['Ada', 'Grace', 'Alan'], { camera: false })) as [Person, Person, Person];

  await ada.press('share-toggle', true);
  await Promise.all([grace, alan].map((viewer) => viewer.sees(ada, { source: 'screen' })));
  await untilEqual('layout while somebody shares', () => alan.find('stage').getAttribute('data-layout'), 'stage');

  await grace.press('share-toggle', true);
  await Promise.all([alan.sees(ada, { source: 'screen' }), alan.sees(grace, { source: 'screen' })]);
  await shownApart(alan, [ada, grace]);

  await ada.press('share-toggle', false);
  await untilEqual('screens that Alan sees', () => alan.tiles('screen').count(), 1);
  await alan.sees(grace, { source: 'screen' });

  await ada.press('share-toggle', true);
  await alan.sees(ada, { source: 'screen' });
  await stopInBrowser(ada);
  await untilEqual('share of Ada', () => ada.find('share-toggle').getAttribute('aria-pressed'), 'false');
  await untilEqual('screens that Alan sees', () => alan.tiles('screen').count(), 1);

  // The page goes without a word: as when a laptop is closed.
  await grace.page.close();
  await untilEqual('screens that Alan sees', () => alan.tiles('screen').count(), 0, { seconds: 25 });
}, { limit: 90 });

/** What the browser's own "Stop sharing" does to the tracks of a screen. */
function stopInBrowser({ page }: Person): Promise<void> {
  return page.evaluate(() => {
    const tracks = globalThis.e2e.connections.flatMap((connection) => connection.getSenders().map(({ track }) => track));
    for (const track of new Set(tracks)) {
      if (track?.kind !== 'video') continue;
      track.stop();
      track.dispatchEvent(new Event('ended'));
    }
  });
}

/** Both screens are large, inside of the window and not on top of each other. */
async function shownApart(viewer: Person, sharers: readonly [Person, Person]): Promise<void> {
  const ids = await Promise.all(sharers.map((sharer) => sharer.id()));
  await until('two screens beside each other', async () => {
    const [one, other] = await Promise.all(ids.map((id) => viewer.tile(id, 'screen').boundingBox()));
    if (!one || !other) return false;
    const apart = one.x + one.width <= other.x || other.x + other.width <= one.x || one.y + one.height <= other.y || other.y + other.height <= one.y;
    return apart && [one, other].every(({ x, y, width, height }) => width >= 300 && x >= 0 && y >= 0 && x + width <= 1280 && y + height <= 800);
  });
}

test('media: a muted microphone and a camera that is off show on the tiles of the others', async (scene) => {
  const [ada, grace] = (await scene.inRoom(['Ada', 'Grace'])) as [Person, Person];
  const tile = grace.tile(await ada.id());
  const state = async (): Promise<string> =>
    `muted ${await tile.getAttribute('data-muted')}, camera ${await tile.getAttribute('data-camera')}, video ${await tile.locator('video').count()}`;

  await grace.sees(ada);
  await untilEqual('tile of Ada', state, 'muted false, camera true, video 1');
  await ada.press('mic-toggle', false);
  await untilEqual('tile of Ada', state, 'muted true, camera true, video 1');
  await ada.press('camera-toggle', false);
  await untilEqual('tile of Ada', state, 'muted true, camera false, video 0');
  await ada.press('camera-toggle', true);
  await ada.press('mic-toggle', true);
  await untilEqual('tile of Ada', state, 'muted false, camera true, video 1');
  await Promise.all([grace.sees(ada), grace.hears(ada)]);
});

test('media: switches that are hammered on both sides end in agreement', async (scene) => {
  const people = (await scene.inRoom(['Ada', 'Grace'])) as [Person, Person];
  const [ada, grace] = people;
  await ada.sees(grace);
  await Promise.all([hammer(ada, 'camera-toggle'), hammer(grace, 'camera-toggle'), hammer(ada, 'mic-toggle'), hammer(grace, 'share-toggle')]);
  for (const person of people) {
    await person.press('camera-toggle', true);
    await person.press('mic-toggle', true);
    await person.press('share-toggle', false);
  }
  await Promise.all([ada.sees(grace), grace.sees(ada), ada.hears(grace), grace.hears(ada)]);
  for (const person of people) {
    await untilEqual(`screens that ${person.name} sees`, () => person.tiles('screen').count(), 0);
    await untilEqual(`tiles that ${person.name} sees`, () => person.tiles().count(), 2);
  }
});

/** Clicks again as soon as the last click has been taken. */
async function hammer(person: Person, testId: string): Promise<void> {
  for (let clicks = 0; clicks < 5; clicks++) await person.find(testId).click();
}

test('media: another camera is taken in the call without negotiating again', async (scene) => {
  const [ada, grace] = (await scene.inRoom(['Ada', 'Grace'])) as [Person, Person];
  await Promise.all([grace.sees(ada), ada.sees(grace)]);

  const negotiations = (person: Person): Promise<string> =>
    person.page.evaluate(() => `${globalThis.e2e.descriptions} descriptions, ${globalThis.e2e.negotiationsNeeded} needed`);
  const before = await Promise.all([ada, grace].map(negotiations));
  const cameraOf = (): Promise<string> =>
    ada.page.evaluate(() => {
      const video = document.querySelector<HTMLVideoElement>('[data-testid="tile"][data-self="true"] video');
      return (video?.srcObject as MediaStream | null)?.getVideoTracks()[0]?.label ?? '';
    });

  assertEqual(await cameraOf(), 'fake_device_0', 'camera at first');
  const settings = await ada.openDialog('settings');
  // fake_device_1 exists, but delivers no frames.
  for (const device of ['fake_device_2', 'fake_device_3']) {
    await settings.getByLabel('Camera').selectOption({ label: device });
    await untilEqual('camera in use', cameraOf, device);
    await grace.sees(ada, { frames: 15 });
  }
  const after = await Promise.all([ada, grace].map(negotiations));
  assertEqual(after, before, 'negotiations of Ada and Grace');
  assert(before.every((text) => !text.startsWith('0 ')), 'the probe counts descriptions');
});
