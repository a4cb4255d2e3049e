import type { Locator, Page } from 'playwright-core';
import { violations } from '../harness/axe';
import type { Person } from '../harness/person';
import type { Scene } from '../harness/scene';
import { test } from '../harness/suite';
import { pretend } from '../harness/talker';
import { assert, assertEqual, until, untilEqual } from '../harness/until';

/** How loud `other` is played to `person`, 0 to 1; null while nothing of them is played. */
async function loudness(person: Person, other: Person): Promise<number | null> {
  const participant = await other.id();
  return person.page.evaluate((id) => {
    const audio = document.querySelector<HTMLAudioElement>(`audio[data-participant="${id}"][data-source="microphone"]`);
    return audio && (audio.muted ? 0 : audio.volume);
  }, participant);
}

async function openVolume(person: Person, from: Locator): Promise<Locator> {
  await from.hover();
  await person.find('volume', from).click();
  const card = person.find('volume-card');
  await card.waitFor();
  return card;
}

test('ui-media: how loud somebody is played is set on the tile and in the list, and kept', async (scene) => {
  const [ada, grace] = (await scene.inRoom(['Ada', 'Grace', 'Alan'], { camera: false })) as [Person, Person, Person];
  const level = (): Promise<number | null> => loudness(ada, grace);
  await untilEqual('volume of Grace at first', level, 1);

  const tile = ada.tile(await grace.id());
  const card = await openVolume(ada, tile);
  await card.getByRole('slider').fill('40');
  await untilEqual('volume of Grace', level, 0.4);
  await ada.page.keyboard.press('ArrowRight');
  await untilEqual('volume of Grace after an arrow key', level, 0.45);
  await card.getByRole('switch').click();
  await untilEqual('volume of Grace, muted', level, 0);
  await ada.page.keyboard.press('Escape');
  await card.waitFor({ state: 'detached' });
  assertEqual(await tile.getByTestId('volume').evaluate((button) => button === document.activeElement), true, 'the focus is back on the button');
  await untilEqual('what the tile says', async () => (await tile.getAttribute('aria-label'))?.includes('muted for you'), true);

  // The list of people sets the same, and a voice that comes back is as loud as it was.
  await ada.open('people');
  const row = ada.find('person').filter({ hasText: 'Grace' });
  const again = await openVolume(ada, row);
  await again.getByRole('switch').click();
  await untilEqual('volume of Grace, unmuted', level, 0.45);
  await grace.reload();
  await untilEqual('volume of Grace after a reload', level, 0.45, { seconds: 20 });
});

test('ui-media: more people than the window holds are on pages, turned by button, key and finger', async (scene) => {
  const [ada] = (await scene.inRoom(['Ada', 'Grace', 'Alan', 'Edsger', 'Barbara'], { camera: false, viewport: { width: 360, height: 440 }, hasTouch: true })) as [Person];
  const page = (): Promise<string | null> => ada.find('page').textContent({ timeout: 1_000 });
  await untilEqual('page', page, '1 of 2');
  const shown = (): Promise<(string | null)[]> => ada.tiles().evaluateAll((tiles) => tiles.map((tile) => tile.getAttribute('data-participant')));
  const first = await shown();

  await ada.find('page-next').click();
  await untilEqual('page after the button', page, '2 of 2');
  await ada.announced(/Page 2 of 2/);
  const second = await shown();
  assertEqual(new Set([...first, ...second]).size, 5, 'people on both pages together');
  assertEqual(first.filter((id) => second.includes(id)), [], 'people on both pages at a time');
  assertEqual(await ada.find('page-next').evaluate((button) => button === document.activeElement), true, 'the focus stays on the last page');

  await ada.page.keyboard.press('ArrowLeft');
  await untilEqual('page after the arrow key', page, '1 of 2');
  await ada.find('mic-toggle').focus();
  await ada.page.keyboard.press('PageDown');
  await untilEqual('page after Page Down', page, '2 of 2');
  await swipe(ada, 80, 280);
  await untilEqual('page after a finger to the right', page, '1 of 2');
  await swipe(ada, 280, 80);
  await untilEqual('page after a finger to the left', page, '2 of 2');
}, { limit: 90 });

/** A finger over the stage, from `from` to `to` pixels from the left. */
async function swipe({ page }: Person, from: number, to: number): Promise<void> {
  const touch = await page.context().newCDPSession(page);
  const at = (x: number): { touchPoints: { x: number; y: number }[] } => ({ touchPoints: [{ x, y: 150 }] });
  await touch.send('Input.dispatchTouchEvent', { type: 'touchStart', ...at(from) });
  await touch.send('Input.dispatchTouchEvent', { type: 'touchMove', ...at((from + to) / 2) });
  await touch.send('Input.dispatchTouchEvent', { type: 'touchMove', ...at(to) });
  await touch.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] });
  await touch.detach();
}

/** How wide the picture of a video is, and how many frames it has shown. */
function glance(video: HTMLVideoElement): { width: number; frames: number } {
  return { width: video.videoWidth, frames: video.getVideoPlaybackQuality().totalVideoFrames };
}

test('ui-media: the call goes on in a small window with its own buttons, and comes back', async (scene) => {
  const [ada, grace] = (await scene.inRoom(['Ada', 'Grace'])) as [Person, Person];
  await ada.sees(grace);
  await ada.page.keyboard.press('o');
  // To the browser it is a page of its own, to the scripts it is part of the one that opened it.
  const open = (): Page | undefined => ada.context.pages().find((page) => page !== ada.page);
  const pip = await until('a small window', open);
  await untilEqual('name', () => pip.getByTestId('pip-name').textContent(), 'Grace');
  const video = pip.locator('video').first();
  const { frames } = await video.evaluate(glance);
  await until('the picture of Grace moves', async () => {
    const now = await video.evaluate(glance);
    return now.width > 0 && now.frames >= frames + 15;
  }, { seconds: 15 });
  assertEqual(await violations(pip), [], 'what axe finds in the small window');

  const tile = grace.tile(await ada.id());
  await pip.getByTestId('pip-microphone').click();
  await untilEqual('muted, by the button', () => tile.getAttribute('data-muted'), 'true');
  await pip.keyboard.press('m');
  await untilEqual('muted, by the key', () => tile.getAttribute('data-muted'), 'false');
  await pip.getByTestId('pip-camera').click();
  await untilEqual('camera', () => tile.getAttribute('data-camera'), 'false');

  await grace.press('share-toggle', true);
  await untilEqual('name while Grace shares', () => pip.getByTestId('pip-name').textContent(), 'Grace’s screen');

  await pip.getByTestId('pip-back').click();
  await untilEqual('windows', () => ada.context.pages().length, 1);
  await ada.sees(grace, { source: 'screen', frames: 15 });

  await ada.find('more-menu').click();
  await ada.find('pip-toggle').click();
  const again = await until('a small window from the menu', open);
  await again.getByTestId('pip-leave').click();
  await ada.find('removed-screen').waitFor();
  await untilEqual('windows after leaving', () => ada.context.pages().length, 1);
}, { limit: 90 });

test('ui-media: where a window can hold no page, the browser shows one video', async (scene) => {
  const [ada, grace] = (await scene.inRoom(['Ada', 'Grace'])) as [Person, Person];
  await ada.page.evaluate(() => {
    Object.defineProperty(window, 'documentPictureInPicture', { value: undefined });
  });
  await ada.sees(grace);
  const inPicture = (): Promise<string | null> =>
    ada.page.evaluate(() => document.pictureInPictureElement?.getAttribute('data-testid') ?? null);
  await ada.page.keyboard.press('o');
  await untilEqual('element in picture-in-picture', inPicture, 'pip-video');
  const own = ada.find('pip-video');
  const { frames } = await own.evaluate(glance);
  await until('it moves', async () => (await own.evaluate(glance)).frames >= frames + 15, { seconds: 15 });
  // Another picture in the same window.
  await grace.press('share-toggle', true);
  await until('the screen is in it', async () => (await own.evaluate(glance)).width > 640, { seconds: 15 });
  assertEqual(await inPicture(), 'pip-video', 'element in picture-in-picture while Grace shares');

  await ada.page.evaluate(() => document.exitPictureInPicture());
  await untilEqual('videos for it', () => ada.find('pip-video').count(), 0);
  await ada.page.keyboard.press('o');
  await untilEqual('element in picture-in-picture again', inPicture, 'pip-video');
  await ada.page.keyboard.press('o');
  await untilEqual('element after the same key', inPicture, null);
});

/** Somebody in the lobby to whom a test can say what a server says: of recordings, of limits, which need more than a test has. */
async function addressed(scene: Scene, name: string): Promise<{ person: Person; tell(type: string, data: object): void }> {
  const person = await scene.person(name);
  let deliver = (_: string): void => assert(false, `${name} is not connected`);
  await person.page.routeWebSocket('**/ws', (socket) => {
    socket.connectToServer();
    deliver = (text) => socket.send(text);
  });
  return { person, tell: (type, data) => deliver(JSON.stringify({ type, room: scene.room, data })) };
}

test('ui-media: the statistics show numbers, once a second, and can be copied', async (scene) => {
  const [ada, grace] = (await scene.inRoom(['Ada', 'Grace'], { permissions: ['clipboard-read', 'clipboard-write'] })) as [Person, Person];
  await Promise.all([ada.sees(grace), ada.hears(grace)]);
  assertEqual(await ada.find('stats').count(), 0, 'statistics before they are asked for');

  await ada.page.keyboard.press('i');
  await until('what is received', async () => /[1-9]/.test((await ada.find('stats-fact').first().textContent()) ?? ''));
  const picture = ada.find('stats-picture').first();
  await until('a picture with its size, rate, bitrate and codec', async () => /\d+×\d+ · \d+ fps · [\d.]+ [kM]b\/s · (VP8|VP9|H264|AV1)/.test((await picture.textContent()) ?? ''));
  await until('why it is no better', async () => /straight from Grace/.test((await picture.textContent()) ?? ''));
  await untilEqual('lines on the tiles', () => ada.find('tile-numbers').count(), 2);

  const before = await ada.find('stats').textContent();
  await until('the numbers change', async () => (await ada.find('stats').textContent()) !== before, { seconds: 5 });
  assertEqual(await violations(ada.page), [], 'what axe finds');

  await ada.find('stats-copy').click();
  const text = await until('a text in the clipboard', () => ada.page.evaluate(() => navigator.clipboard.readText()));
  assert(/Round trip: \d+/.test(text) && text.includes('Grace') && text.includes(ada.room), `the copied text: ${text}`);

  await ada.find('stats-close').click();
  await untilEqual('statistics', () => ada.find('stats').count(), 0);
  await untilEqual('lines on the tiles', () => ada.find('tile-numbers').count(), 0);
  assertEqual(await ada.find('more-menu').evaluate((button) => button === document.activeElement), true, 'the focus has a place');
});

test('ui-media: a picture that something limits says what, others say nothing', async (scene) => {
  const { person: ada, tell } = await addressed(scene, 'Ada');
  await ada.join();
  const [grace] = (await scene.inRoom(['Grace'])) as [Person];
  await ada.sees(grace);
  const participant = await grace.id();
  const badge = ada.tile(participant).getByTestId('quality-badge');
  const limited = (reason: string): void => tell('media-quality', { participant, source: 'camera', width: 320, height: 180, fps: 15, bitrate: 120_000, layer: '1/3', codec: 'VP8', reason });
  for (const [reason, text] of [['bandwidth', 'Your connection carries no better picture.'], ['server', 'The server is busy and sends smaller pictures.'], ['publisher', 'Grace sends no better picture at present.']] as const) {
    limited(reason);
    await untilEqual(`badge for ${reason}`, () => badge.getAttribute('aria-label'), text);
  }
  assertEqual(await violations(ada.page), [], 'what axe finds');
  for (const reason of ['size', 'hidden', 'full']) {
    limited('bandwidth');
    await untilEqual('badges', () => badge.count(), 1);
    limited(reason);
    await untilEqual(`badges for ${reason}`, () => badge.count(), 0);
  }
});

test('ui-media: which way the media goes stands beside the name of the room, and changes without a word', async (scene) => {
  const ada = await scene.person('Ada');
  await ada.join({ camera: false });
  assertEqual(await ada.find('mode').count(), 0, 'ways of the media while alone');
  const [grace] = (await scene.inRoom(['Grace'], { camera: false })) as [Person];
  await untilEqual('way', () => ada.find('mode').getAttribute('data-mode'), 'mesh');
  await grace.press('share-toggle', true);
  await untilEqual('way with a screen', () => ada.find('mode').getAttribute('data-mode'), 'sfu', { seconds: 20 });
  await ada.find('mode').click();
  await until('what it means', async () => (await ada.find('stats').textContent())?.includes('through the server'));
});

test('ui-media: everybody is shown and told that the call is recorded, after a moderator was asked once more', async (scene) => {
  const [ada, grace] = (await scene.inRoom(['Ada', 'Grace'], { camera: false })) as [Person, Person];
  const signs = (person: Person): Promise<number> => person.find('recording').count();
  await grace.find('more-menu').click();
  await grace.find('stats-toggle').waitFor();
  assertEqual(await grace.find('record').count(), 0, 'ways to record for a member');

  await ada.find('more-menu').click();
  await ada.find('record').click();
  const dialog = ada.page.getByRole('dialog').filter({ hasText: 'Everybody in the room sees' });
  await dialog.waitFor();
  assertEqual(await violations(ada.page), [], 'what axe finds in the dialog');
  await ada.page.keyboard.press('Escape');
  await untilEqual('the focus is back', () => ada.find('more-menu').evaluate((button) => button === document.activeElement), true);
  assertEqual(await signs(grace), 0, 'signs of a recording that was not confirmed');

  await ada.find('more-menu').click();
  await ada.find('record').click();
  await ada.find('record-confirm').click();
  for (const person of [ada, grace]) {
    await untilEqual(`signs that ${person.name} sees`, () => signs(person), 1);
    await person.announced(/This call is being recorded/);
    await untilEqual(`title of the page of ${person.name}`, async () => (await person.page.title()).startsWith('●'), true);
  }
  assertEqual(await violations(grace.page), [], 'what axe finds');
  const [alan] = (await scene.inRoom(['Alan'], { camera: false })) as [Person];
  await alan.announced(/This call is being recorded/);

  await ada.find('more-menu').click();
  await ada.find('record-stop').click();
  await grace.announced(/The recording has ended/);
  await untilEqual('signs that Grace sees', () => signs(grace), 0);
}, { limit: 90 });

test('ui-media: low-bandwidth mode is suggested, switched on and shown', async (scene) => {
  const { person: ada, tell } = await addressed(scene, 'Ada');
  await ada.join({ camera: false });
  const [grace, alan] = (await scene.inRoom(['Grace', 'Alan'])) as [Person, Person];
  for (const other of [grace, alan]) {
    const participant = await other.id();
    await ada.sees(other);
    tell('media-quality', { participant, source: 'camera', width: 320, height: 180, fps: 15, bitrate: 120_000, reason: 'bandwidth' });
  }
  const hint = ada.find('low-bandwidth-hint');
  await hint.waitFor({ timeout: 25_000 });
  await ada.announced(/Your connection is slow/);
  assertEqual(await violations(ada.page), [], 'what axe finds');
  await hint.getByRole('button').first().click();
  await untilEqual('hints', () => hint.count(), 0);
  await ada.find('more-menu').click();
  const item = ada.find('low-bandwidth');
  await untilEqual('the switch in the menu', () => item.getAttribute('aria-checked'), 'true');
  assertEqual(await violations(ada.page), [], 'what axe finds in the menu');
  await item.click();
  const settings = await ada.openDialog('settings');
  assertEqual(await settings.getByRole('switch').first().getAttribute('aria-checked'), 'false', 'the switch in the settings');
}, { limit: 90 });

test('ui-media: what is pinned is large in every layout, by keyboard too', async (scene) => {
  const [ada, grace, alan] = (await scene.inRoom(['Ada', 'Grace', 'Alan'], { camera: false })) as [Person, Person, Person];
  await untilEqual('tiles', () => ada.tiles().count(), 3);
  const alans = ada.tile(await alan.id());
  const pin = alans.getByTestId('pin');
  await pin.focus();
  await ada.page.keyboard.press('Enter');
  await untilEqual('layout', () => ada.find('stage').getAttribute('data-layout'), 'stage');
  await untilEqual('role of the tile', () => alans.getAttribute('data-role'), 'main');
  assertEqual(await pin.evaluate((button) => button === document.activeElement), true, 'the focus stays on the pin');

  // A screen comes: what the person has chosen stays, the screen is beside it and can be pinned instead.
  await grace.press('share-toggle', true);
  const screen = ada.tile(await grace.id(), 'screen');
  await screen.waitFor({ timeout: 20_000 });
  await untilEqual('role of the screen', () => screen.getAttribute('data-role'), 'strip');
  assertEqual(await alans.getAttribute('data-role'), 'main', 'role of the tile');
  await screen.getByTestId('pin').focus();
  await ada.page.keyboard.press('Space');
  await untilEqual('role of the screen, pinned', () => screen.getAttribute('data-role'), 'main');
  await untilEqual('role of the tile', () => alans.getAttribute('data-role'), 'strip');
  assertEqual(await screen.getByTestId('pin').evaluate((button) => button === document.activeElement), true, 'the focus stays on the pin of the screen');
  await ada.page.keyboard.press('Space');
  await grace.press('share-toggle', false);
  await untilEqual('layout without pin and screen', () => ada.find('stage').getAttribute('data-layout'), 'grid');
}, { limit: 90 });

test('ui-media: of a picture that does not come the tile says so', async (scene) => {
  // In a mesh the link itself fails, which is said instead.
  const server = await scene.ownServer(['--mesh-max', '0']);
  const [ada] = (await scene.inRoom(['Ada'], { camera: false, server })) as [Person];
  const [noor] = (await scene.inRoom(['Noor'], { camera: false, server, locale: 'ar' })) as [Person];
  const leave = await pretend(server.url, scene.room, 'Ghost');
  const says = (person: Person, text: string): Promise<unknown> => {
    const signs = person.page.getByTestId('tile').getByTestId('no-video');
    return untilEqual(`what ${person.name} is told`, async () => ((await signs.count()) === 1 ? signs.getAttribute('aria-label') : null), text, { seconds: 20 });
  };
  try {
    await Promise.all([says(ada, 'The picture has not come yet'), says(noor, 'لم تصل الصورة بعد')]);
    await Promise.all([says(ada, 'The picture does not arrive'), says(noor, 'الصورة لا تصل')]);
  } finally {
    leave();
  }
}, { limit: 60 });
