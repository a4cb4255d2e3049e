import { violations } from '../harness/axe';
import type { Person } from '../harness/person';
import type { Scene } from '../harness/scene';
import { test } from '../harness/suite';
import { assertEqual, untilEqual } from '../harness/until';

/** The first guest of a room is its moderator. */
const threeInRoom = (scene: Scene): Promise<[Person, Person, Person]> =>
  scene.inRoom(['Ada', 'Grace', 'Alan'], { camera: false }) as Promise<[Person, Person, Person]>;

async function removed(person: Person, reason: string): Promise<void> {
  const screen = person.find('removed-screen');
  await screen.waitFor({ timeout: 15_000 });
  assertEqual(await screen.getAttribute('data-reason'), reason, `why ${person.name} is out`);
}

const peopleSeenBy = (person: Person, wanted: string[]): Promise<void> =>
  untilEqual(`people that ${person.name} sees`, () => person.people(), wanted);

test('moderation: who is removed is told, and may come back unless banned', async (scene) => {
  const [ada, grace, alan] = await threeInRoom(scene);
  await Promise.all([ada.open('people'), grace.open('people')]);
  assertEqual(await grace.find('person-actions').count(), 0, 'menus of a member');

  await ada.moderate(alan, 'kick');
  await removed(alan, 'kicked');
  await Promise.all([peopleSeenBy(ada, ['Ada', 'Grace']), peopleSeenBy(grace, ['Ada', 'Grace'])]);
  await alan.find('rejoin').click();
  await alan.entered();
  await peopleSeenBy(grace, ['Ada', 'Alan', 'Grace']);

  await ada.moderate(alan, 'ban');
  await removed(alan, 'banned');
  assertEqual(await alan.find('rejoin').count(), 0, 'ways back for a banned person');
  await peopleSeenBy(grace, ['Ada', 'Grace']);
  await alan.openLobby();
  await alan.find('lobby-join').click();
  await alan.find('lobby-failure').waitFor();
  assertEqual(await ada.people(), ['Ada', 'Grace'], 'people after the attempt');

  // A ban is taken back where the people are.
  await ada.find('bans').locator('summary').click();
  await ada.find('ban').waitFor();
  assertEqual(await ada.find('ban').locator('bdi').allTextContents(), ['Alan'], 'who is banned');
  assertEqual(await violations(ada.page), [], 'what axe finds');
  assertEqual(await grace.find('bans').count(), 0, 'lists of bans of a member');
  await ada.find('unban').click();
  await ada.announced(/Alan may come back/);
  await alan.find('lobby-join').click();
  await alan.entered();
  await peopleSeenBy(ada, ['Ada', 'Alan', 'Grace']);
});

/** Asks to be let into a locked room. */
async function knock(person: Person): Promise<void> {
  await person.find('lobby-name').fill(person.name);
  await person.find('lobby-join').click();
  await person.find('lobby-failure').waitFor();
  assertEqual((await person.find('lobby-failure').innerText()).includes('locked'), true, 'the failure speaks of the lock');
  await person.find('lobby-join').click();
  await person.find('waiting').waitFor();
}

test('moderation: who knocks at a locked room waits for a word', async (scene) => {
  const [ada] = (await scene.inRoom(['Ada'], { camera: false })) as [Person];
  await ada.open('people');
  await ada.press('lock-toggle', true);
  const [grace, alan] = await Promise.all([scene.person('Grace'), scene.person('Alan')]);

  await knock(grace);
  assertEqual(await grace.page.evaluate(() => document.activeElement?.tagName), 'H2', 'what has the focus of one who waits');
  await ada.announced(/Grace asks to join/);
  await untilEqual('who waits, in the panel', () => ada.find('knocker', ada.find('people-panel')).count(), 1);
  assertEqual(await ada.find('door-card').count(), 0, 'cards beside the panel that says the same');
  assertEqual(await ada.people(), ['Ada'], 'people in a locked room');
  await ada.close('people');
  await ada.find('door-card').waitFor();
  assertEqual(await ada.find('knocking-count').getAttribute('data-count'), '1', 'the number on the button');
  assertEqual([...(await violations(ada.page)), ...(await violations(grace.page))], [], 'what axe finds');

  // Cancelled, and asked again; the place survives a moment without a connection.
  await knock(alan);
  await untilEqual('who waits', () => ada.find('knocker').count(), 2);
  await alan.find('knock-cancel').click();
  await alan.find('lobby-join').waitFor();
  await untilEqual('who waits', () => ada.find('knocker').count(), 1);
  await alan.find('lobby-join').click();
  await alan.find('waiting').waitFor();
  await untilEqual('who waits', () => ada.find('knocker').count(), 2);

  // By the keyboard: the focus passes from the one who is let in to the next, and then to the people.
  const admit = ada.find('knocker').filter({ hasText: 'Grace' }).getByTestId('admit');
  await admit.focus();
  await ada.page.keyboard.press('Enter');
  await grace.entered();
  await untilEqual('who waits', () => ada.find('knocker').count(), 1);
  await untilEqual('what has the focus', () => ada.page.evaluate(() => document.activeElement?.getAttribute('aria-label')), 'Admit Alan');
  assertEqual(await grace.find('knocker').count(), 0, 'who waits, as a member sees it');
  await ada.page.keyboard.press('Shift+Tab');
  await ada.page.keyboard.press('Enter');
  await alan.find('lobby-failure').waitFor();
  assertEqual((await alan.find('lobby-failure').innerText()).includes('not let in'), true, 'the failure of one who was denied');
  await ada.find('door-card').waitFor({ state: 'detached' });
  await untilEqual('what has the focus', () => ada.page.evaluate(() => document.activeElement?.getAttribute('data-testid')), 'people-toggle');

  // The door opens.
  await alan.find('lobby-join').click();
  await alan.find('waiting').waitFor();
  await ada.find('door-card').waitFor();
  await ada.open('people');
  await ada.press('lock-toggle', false);
  await alan.entered();
  await peopleSeenBy(ada, ['Ada', 'Alan', 'Grace']);
});

test('moderation: a moderator mutes, and makes others moderators', async (scene) => {
  const [ada, grace, alan] = await threeInRoom(scene);
  await ada.hears(grace);
  await ada.moderate(grace, 'mute');
  await untilEqual('microphone of Grace', () => grace.find('mic-toggle').getAttribute('aria-pressed'), 'false');
  await grace.announced(/moderator has muted/);
  const tile = alan.tile(await grace.id());
  await untilEqual('tile of Grace', () => tile.getAttribute('data-muted'), 'true');
  // It is the person's own microphone: they may speak again.
  await grace.press('mic-toggle', true);
  await untilEqual('tile of Grace', () => tile.getAttribute('data-muted'), 'false');
  await alan.hears(grace);

  await grace.open('people');
  assertEqual(await grace.find('lock-toggle').count(), 0, 'locks of a member');
  await ada.moderate(grace, 'promote');
  await grace.press('lock-toggle', true);
  await untilEqual('lock seen by Ada', () => ada.find('lock-toggle').getAttribute('aria-pressed'), 'true');
  await ada.moderate(grace, 'demote');
  await untilEqual('locks of a member', () => grace.find('lock-toggle').count(), 0);
});

test('moderation: the call is ended for everyone', async (scene) => {
  const people = await threeInRoom(scene);
  const [ada, grace, alan] = people;
  await grace.find('more-menu').click();
  assertEqual(await grace.find('end-for-all').count(), 0, 'ends in the menu of a member');
  await ada.find('more-menu').click();
  await ada.find('end-for-all').click();
  await ada.find('end-confirm').click();
  await Promise.all(people.map((person) => removed(person, 'ended')));

  await alan.find('rejoin').click();
  await alan.entered();
  await untilEqual('tiles in the room that was begun anew', () => alan.tiles().count(), 1);
});
