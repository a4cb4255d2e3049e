import type { Locator } from 'playwright-core';
import type { Person } from '../harness/person';
import { test } from '../harness/suite';
import { recite } from '../harness/talker';
import { assert, assertEqual, until, untilEqual } from '../harness/until';

const chatting = async (people: readonly Person[]): Promise<void> => {
  for (const person of people) await person.open('chat');
};

test('chat: what one writes, edits, deletes, answers and reacts with reaches all', async (scene) => {
  const people = (await scene.inRoom(['Ada', 'Grace', 'Alan'], { camera: false })) as [Person, Person, Person];
  const [ada, grace, alan] = people;
  await chatting(people);
  const all = (what: (person: Person) => Promise<unknown>): Promise<unknown> => Promise.all(people.map(what));

  await grace.find('chat-input').pressSequentially('#grace-');
  await until('Ada sees that Grace is typing', async () => (await ada.find('typing-line').innerText()).includes('Grace'));
  await grace.find('chat-input').press('1');
  await grace.find('chat-input').press('Enter');
  await all((person) => person.reads('#grace-1'));
  await untilEqual('typing line', async () => (await ada.find('typing-line').innerText()).trim(), '');

  await ada.write('#ada-1');
  await all((person) => person.reads('#ada-1'));
  await ada.chooseForMessage('#ada-1', 'chat-edit');
  await untilEqual('text to edit', () => ada.find('chat-input').inputValue(), '#ada-1');
  await ada.write('#ada-2 instead');
  await all((person) => person.reads('#ada-2 instead'));
  await all(async (person) => untilEqual(`transcript of ${person.name}`, () => person.transcript(), ['#grace-1', '#ada-2']));
  await all((person) => person.reads('edited'));

  const reaction = (person: Person): Locator => person.message('#grace-1').getByTestId('chat-reaction');
  const counted = (wanted: string[]) => (person: Person) =>
    untilEqual(`reactions seen by ${person.name}`, async () => (await reaction(person).allInnerTexts()).map((text) => text.replace(/\s/g, '')), wanted);
  await react(alan, '#grace-1', '🎉');
  await all(counted(['🎉1']));
  await reaction(ada).click();
  await all(counted(['🎉2']));
  await reaction(alan).click();
  await reaction(ada).click();
  await all(counted([]));

  await alan.message('#grace-1').hover();
  await alan.message('#grace-1').getByTestId('chat-reply').click();
  await alan.write('#alan-1');
  await all(async (person) => {
    const quote = (await person.reads('#alan-1')).getByTestId('chat-quote');
    await untilEqual(`quote seen by ${person.name}`, async () => (await quote.innerText()).includes('#grace-1'), true);
  });

  await ada.chooseForMessage('#ada-2', 'chat-delete');
  await all((person) => untilEqual(`#ada-2 seen by ${person.name}`, () => person.message('#ada-2').count(), 0));
  await all((person) => untilEqual(`messages seen by ${person.name}`, () => person.messages().count(), 3));
});

async function react(person: Person, text: string, emoji: string): Promise<void> {
  await person.message(text).hover();
  await person.message(text).getByTestId('chat-actions').click();
  await person.page.getByRole('menuitem', { name: emoji }).click();
}

test('chat: markdown is rendered and nothing that is written can run', async (scene) => {
  const people = (await scene.inRoom(['Ada', 'Grace'], { camera: false })) as [Person, Person];
  const [ada, grace] = people;
  await chatting(people);
  await ada.page.evaluate(() => Object.assign(globalThis, { ran: [] }));
  await grace.page.evaluate(() => Object.assign(globalThis, { ran: [] }));

  const lines = [
    '**bold** *slanted* `code` [safe](https://example.org/a)',
    '',
    '- item',
    '',
    '```js',
    'const x = 1;',
    '```',
    '',
    '<img src=x onerror="globalThis.ran.push(1)"> <script>globalThis.ran.push(2)</script>',
    '',
    '<div onclick="globalThis.ran.push(0)"><img src=y onerror="globalThis.ran.push(9)"></div>',
    '',
    '<svg onload="globalThis.ran.push(3)"></svg><iframe srcdoc="<script>parent.ran.push(4)</script>"></iframe>',
    '',
    '[click](javascript:globalThis.ran.push(5)) [tab](JaVa\tScript:globalThis.ran.push(6)) [data](data:text/html,<script>1</script>) ![pic](javascript:globalThis.ran.push(7))',
    '',
    '<javascript:globalThis.ran.push(8)> #ada-1',
  ];
  await ada.find('chat-input').fill(lines.join('\n'));
  await ada.find('chat-send').click();

  for (const person of people) {
    const message = await person.reads('#ada-1');
    for (const [selector, text] of [['strong', 'bold'], ['em', 'slanted'], ['p code', 'code'], ['li', 'item'], ['pre code', 'const x = 1;']] as const) {
      assertEqual((await message.locator(selector).first().innerText()).trim(), text, `${selector} of ${person.name}`);
    }
    const link = message.getByRole('link', { name: 'safe' });
    assertEqual(await link.getAttribute('href'), 'https://example.org/a', 'safe link');
    assert((await link.getAttribute('rel'))?.includes('noopener'), 'the link opens without an opener');
    assertEqual(await message.locator('img, script, svg[onload], iframe, [onerror], [onload], [onclick]').count(), 0, 'elements from markup');
    const targets = await message.locator('a').evaluateAll((links) => links.map((one) => (one as HTMLAnchorElement).protocol));
    assert(targets.every((protocol) => /^(https?|mailto):$/.test(protocol)), `links lead to ${targets.join()}`);
    for (const name of ['click', 'tab', 'pic']) await message.getByText(name, { exact: true }).first().click({ timeout: 1_000 }).catch(() => undefined);
    for (const markup of ['<img src=x', '<div onclick', '<svg onload']) {
      assert((await message.innerText()).includes(markup), `${markup} is shown as text`);
    }
    assertEqual(await person.page.evaluate(() => (globalThis as unknown as { ran: number[] }).ran), [], `code that ran at ${person.name}`);
  }
});

test('chat: a late joiner gets the history, and sees what is unread and who has read', async (scene) => {
  const [ada] = (await scene.inRoom(['Ada'], { camera: false })) as [Person];
  await ada.open('chat');
  for (const text of ['#ada-1', '#ada-2', '#ada-3']) await ada.write(text);
  await ada.reads('#ada-3');
  assertEqual(await ada.find('seen-by').count(), 0, 'readers while nobody else is here');

  const grace = await scene.person('Grace');
  await grace.join({ camera: false });
  await grace.open('chat');
  await untilEqual('history of Grace', () => grace.transcript(), ['#ada-1', '#ada-2', '#ada-3']);
  await until('Ada sees that Grace has read', async () => (await ada.message('#ada-3').getByTestId('seen-by').innerText()).includes('Grace'));

  await grace.close('chat');
  await ada.write('#ada-4');
  await ada.write('#ada-5');
  await untilEqual('unread count of Grace', async () => grace.find('unread-count').getAttribute('data-count'), '2');
  await ada.reads('#ada-5');
  assertEqual(await ada.message('#ada-5').getByTestId('seen-by').count(), 0, 'readers of what nobody has opened');
  assertEqual(await ada.find('unread-count').count(), 0, 'unread count of the author');

  await grace.open('chat');
  await untilEqual('lines above what is new', () => grace.find('unread-line').count(), 1);
  await untilEqual('unread count after reading', () => grace.find('unread-count').count(), 0);
  await until('Ada sees that Grace has read', async () => (await ada.message('#ada-5').getByTestId('seen-by').innerText()).includes('Grace'));

  // What one sees coming is not new.
  await grace.write('#grace-1');
  await ada.reads('#grace-1');
  await until('Grace sees that Ada has read', async () => (await grace.message('#grace-1').getByTestId('seen-by').innerText()).includes('Ada'));
  assertEqual(await ada.find('unread-line').count(), 0, 'lines above what came while the chat was open');
});

test('chat: scrolling up brings what is older than the window, without holes', async (scene) => {
  const server = await scene.ownServer(['--history', '30', '--rate-limit', '0']);
  const last = 120;
  await recite(server.url, scene.room, 'Grace', Array.from({ length: last }, (_, index) => `#old-${index + 1}`));
  const ada = await scene.person('Ada', { server });
  await ada.join({ camera: false });
  await ada.open('chat');
  await ada.reads(`#old-${last}`);

  const holes: string[] = [];
  await ada.page.getByRole('region', { name: 'Messages' }).focus();
  await until('the first message is seen', async () => {
    const shown = (await ada.transcript()).map((text) => Number(text.slice('#old-'.length)));
    if (shown.some((number, index) => number !== (shown[0] ?? 0) + index)) holes.push(shown.join(' '));
    await ada.page.keyboard.press('Home');
    return shown[0] === 1;
  }, { seconds: 30 });
  assertEqual(holes, [], 'views with a hole, a double or another order');
  await ada.page.keyboard.press('End');
  await until('the newest message is in sight', () => ada.message(`#old-${last}`).isVisible());
}, { limit: 90 });

test('chat: four tabs are three people', async (scene) => {
  const people = (await scene.inRoom(['Ada', 'Grace', 'Alan'], { camera: false })) as [Person, Person, Person];
  const [ada, grace, alan] = people;
  const twin = await alan.secondTab();
  await until('two tabs are two participants', async () => (await twin.id()) !== (await alan.id()));
  await untilEqual('tiles that Ada sees', () => ada.tiles().count(), 4);

  for (const person of [ada, grace, twin]) {
    await person.open('people');
    await untilEqual(`people that ${person.name} sees`, () => person.people(), ['Ada', 'Alan', 'Grace']);
  }
  await twin.find('leave').click();
  await untilEqual('tiles that Ada sees', () => ada.tiles().count(), 3);
  await untilEqual('people after the second tab left', () => ada.people(), ['Ada', 'Alan', 'Grace']);
});
