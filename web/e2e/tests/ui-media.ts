import type { Locator } from 'playwright-core';
import type { Person } from '../harness/person';
import { test } from '../harness/suite';
import { assertEqual, untilEqual } from '../harness/until';

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
