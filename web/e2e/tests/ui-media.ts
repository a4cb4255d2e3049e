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
