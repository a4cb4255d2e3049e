import { violations } from '../harness/axe';
import type { Person } from '../harness/person';
import { test } from '../harness/suite';
import { assert, assertEqual, until, untilEqual } from '../harness/until';

for (const colorScheme of ['light', 'dark'] as const) {
  for (const locale of ['en-US', 'ar'] as const) {
    test(`accessibility: axe finds nothing, ${colorScheme}, ${locale}`, async (scene) => {
      const found: string[] = [];
      const look = async (person: Person, where: string): Promise<void> => {
        found.push(...(await violations(person.page)).map((text) => `${where}: ${text}`));
      };

      const ada = await scene.person('Ada', { colorScheme, locale });
      assertEqual(await ada.page.evaluate(() => [document.documentElement.dir, document.documentElement.lang.slice(0, 2)]), locale === 'ar' ? ['rtl', 'ar'] : ['ltr', 'en'], 'language of the page');
      const direction = await ada.find('lobby-name').evaluate((field) => getComputedStyle(field).direction);
      assertEqual(direction, locale === 'ar' ? 'rtl' : 'ltr', 'direction of a field with nothing in it');
      await look(ada, 'lobby');
      await ada.page.locator('summary').click();
      await look(ada, 'lobby with devices');
      await ada.join();
      const [grace] = (await scene.inRoom(['Grace'], { camera: false })) as [Person];
      await grace.open('chat');
      await grace.write('Hello **Ada**, `code` and [a link](https://example.org)\n\n> quoted\n\n| a | b |\n|---|---|\n| 1 | 2 |');
      await grace.find('hand-toggle').click();
      await until('both are here', async () => (await ada.tiles().count()) === 2);
      await look(ada, 'room');

      await ada.open('chat');
      await ada.write('An answer');
      await ada.message('An answer').first().waitFor();
      await look(ada, 'room with chat');
      await ada.message('An answer').first().hover();
      await ada.message('An answer').first().getByTestId('chat-actions').click();
      await look(ada, 'room with the menu of a message');
      await ada.page.keyboard.press('Escape');

      await ada.chooseForMessage('An answer', 'chat-thread');
      const threadInput = ada.find('thread-panel').getByTestId('chat-input');
      await threadInput.fill('A reply');
      await threadInput.press('Enter');
      await ada.find('thread-line').waitFor();
      await look(ada, 'room with a thread');
      await ada.find('threads-toggle').click();
      await ada.find('thread-row').waitFor();
      await look(ada, 'room with the list of threads');

      await ada.open('people');
      await look(ada, 'room with people');
      await ada.find('person-actions').first().click();
      await look(ada, 'room with the menu of a person');
      await ada.page.keyboard.press('Escape');
      await ada.find('volume', ada.find('people-panel')).first().click();
      await ada.find('volume-card').waitFor();
      await look(ada, 'room with the volume of a person');
      await ada.page.keyboard.press('Escape');
      await ada.find('more-menu').click();
      await ada.page.getByRole('menu').waitFor();
      await look(ada, 'room with the menu');
      await ada.page.keyboard.press('Escape');
      await ada.find('mode').click();
      await ada.find('stats-fact').first().waitFor();
      await look(ada, 'room with the statistics');
      await ada.find('stats-close').click();

      for (const name of ['settings', 'invite', 'help'] as const) {
        await ada.openDialog(name);
        await look(ada, `dialog ${name}`);
        await ada.page.keyboard.press('Escape');
        await ada.page.getByRole('dialog').waitFor({ state: 'detached' });
      }

      await ada.find('leave').click();
      await ada.find('removed-screen').waitFor();
      await look(ada, 'after the call');
      await ada.page.goto(ada.url);
      await ada.page.getByRole('heading', { level: 1 }).waitFor();
      await look(ada, 'landing');
      assert(found.length === 0, `${found.length} violations\n${found.join('\n')}`);
    }, { limit: 120 });
  }
}

/** What is wrong with how the focus shows, '' when a sighted person sees where it is. */
function focusFault(): string {
  const element = document.activeElement;
  if (!element || element === document.body) return 'nothing has the focus';
  const name = element.getAttribute('data-testid') ?? element.outerHTML.slice(0, 120);
  const { left, right, top, bottom, width, height } = element.getBoundingClientRect();
  if (width === 0 || height === 0 || right <= 0 || bottom <= 0 || left >= innerWidth || top >= innerHeight) return `${name} is out of sight`;
  const onTop = document.elementFromPoint((Math.max(left, 0) + Math.min(right, innerWidth)) / 2, (Math.max(top, 0) + Math.min(bottom, innerHeight)) / 2);
  if (onTop && !element.contains(onTop) && !onTop.contains(element)) return `${name} is covered by ${onTop.outerHTML.slice(0, 120)}`;
  let ringed = false;
  for (let one: Element | null = element, depth = 0; one && depth < 3; one = one.parentElement, depth++) {
    const style = getComputedStyle(one);
    if (Number(style.opacity) < 0.5) return `${name} is transparent`;
    ringed ||= style.outlineStyle !== 'none' && Number.parseFloat(style.outlineWidth) >= 2;
  }
  return ringed ? '' : `${name} shows no focus`;
}

/** Presses Tab until `testId` has the focus; on the way, the focus is always seen. */
async function tabTo({ page }: Person, testId: string): Promise<void> {
  for (let presses = 0; presses < 40; presses++) {
    if ((await page.evaluate(() => document.activeElement?.getAttribute('data-testid'))) === testId) return;
    await page.keyboard.press('Tab');
    // The end of the page: the browser's own controls come next.
    if (await page.evaluate(() => document.activeElement === document.body)) continue;
    // Transitions of what appears on focus.
    await untilEqual(`fault of the focus on the way to ${testId}`, () => page.evaluate(focusFault), '', { seconds: 2 });
  }
  throw new Error(`${testId} is not reached by Tab`);
}

test('accessibility: the keyboard alone joins, mutes, writes and leaves', async (scene) => {
  const [grace] = (await scene.inRoom(['Grace'], { camera: false })) as [Person];
  await grace.open('chat');
  const ada = await scene.person('Ada');
  const { keyboard } = ada.page;

  await tabTo(ada, 'lobby-name');
  await keyboard.type('Ada');
  await tabTo(ada, 'lobby-join');
  await keyboard.press('Enter');
  await ada.entered();

  const tile = grace.tile(await ada.id());
  await untilEqual('tile of Ada', () => tile.getAttribute('data-muted'), 'false');
  await tabTo(ada, 'mic-toggle');
  await keyboard.press('Space');
  await untilEqual('tile of Ada', () => tile.getAttribute('data-muted'), 'true');
  await keyboard.press('Enter');
  await untilEqual('tile of Ada', () => tile.getAttribute('data-muted'), 'false');
  await keyboard.press('Control+d');
  await untilEqual('tile of Ada', () => tile.getAttribute('data-muted'), 'true');

  await tabTo(ada, 'chat-toggle');
  await keyboard.press('Enter');
  await ada.find('chat-input').waitFor();
  await tabTo(ada, 'chat-input');
  await keyboard.type('mvh #ada-1');
  await keyboard.press('Enter');
  await grace.reads('mvh #ada-1');
  assertEqual(await tile.getAttribute('data-muted'), 'true', 'letters that are typed are no commands');

  // The menu of a message is there for the keyboard too.
  await ada.reads('#ada-1');
  await keyboard.press('Shift+Tab');
  await tabTo(ada, 'chat-input');

  await tabTo(ada, 'leave');
  await keyboard.press('Enter');
  await ada.find('removed-screen').waitFor();
  await untilEqual('tiles that Grace sees', () => grace.tiles().count(), 1);
});

test('accessibility: a live region tells who comes, who writes and who goes', async (scene) => {
  const [ada, grace] = (await scene.inRoom(['Ada', 'Grace'], { camera: false })) as [Person, Person];
  await ada.announced(/Grace joined/);
  await grace.open('chat');
  await grace.write('good evening');
  await ada.announced(/Grace: good evening/);
  await grace.find('hand-toggle').click();
  await ada.announced(/Grace raised a hand/);
  await grace.find('leave').click();
  await ada.announced(/Grace left/);
  assertEqual(await grace.page.evaluate(() => globalThis.e2e.announcements.some((text) => text.includes('good evening'))), false, 'own messages announced');
});
