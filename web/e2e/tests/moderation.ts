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
});

test('moderation: a locked room tells newcomers so and lets them in when unlocked', async (scene) => {
  const [ada] = (await scene.inRoom(['Ada'], { camera: false })) as [Person];
  await ada.open('people');
  await ada.press('lock-toggle', true);

  const grace = await scene.person('Grace');
  await grace.find('lobby-name').fill('Grace');
  await grace.find('lobby-join').click();
  await grace.find('lobby-failure').waitFor();
  assertEqual((await grace.find('lobby-failure').innerText()).includes('locked'), true, 'the failure speaks of the lock');
  assertEqual(await ada.people(), ['Ada'], 'people in a locked room');

  await ada.press('lock-toggle', false);
  await grace.find('lobby-join').click();
  await grace.entered();
  await peopleSeenBy(ada, ['Ada', 'Grace']);
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
