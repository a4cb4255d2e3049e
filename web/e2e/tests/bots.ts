import type { Locator } from 'playwright-core';
import { violations } from '../harness/axe';
import { Desk } from '../harness/desk';
import { Model } from '../harness/model';
import type { Person } from '../harness/person';
import { test } from '../harness/suite';
import { recite } from '../harness/talker';
import { assert, assertEqual, until, untilEqual } from '../harness/until';

const card = (person: Person, bot: string): Locator => person.page.locator(`[data-testid="bot-card"][data-bot="${bot}"]`);

/** Lets a bot in or out in the panel of assistants. */
async function toggle(person: Person, bot: string, on: boolean): Promise<void> {
  await person.open('bots');
  await card(person, bot).getByRole('switch').click();
  await untilEqual(`${bot} takes part, as ${person.name} sees it`, () => card(person, bot).getAttribute('data-enabled'), String(on));
}

/** Answers in the chat, on their way or given. */
const answers = (person: Person): Locator => person.page.locator('[data-testid="chat-message"][data-run]');
const ended = (person: Person): Locator => answers(person).filter({ has: person.page.getByTestId('answer-receipt') });
const text = async (answer: Locator): Promise<string> => (await answer.getByTestId('answer-text').innerText()).trim();

async function look(person: Person, where: string): Promise<void> {
  const found = await violations(person.page);
  assert(found.length === 0, `${where}: ${found.join('\n')}`);
}

test('bots: one is let in, is mentioned, uses a tool, cites what it found, and goes', async (scene) => {
  const [ada, grace] = (await scene.inRoom(['Ada', 'Grace'], { camera: false })) as [Person, Person];
  await recite(scene.server.url, scene.room, 'Alan', ['We decided to ship on Friday.', ...Array.from({ length: 40 }, (_, index) => `#alan-${index + 1}`)]);

  await ada.open('bots');
  await untilEqual('badge of Scribe', () => card(ada, 'scribe').getByTestId('bot-engine').innerText(), 'built-in');
  await look(ada, 'the panel of assistants');
  await toggle(ada, 'scribe', true);
  await grace.announced(/Scribe joined/);
  await grace.open('people');
  await untilEqual('people that Grace sees', () => grace.people(), ['Ada', 'Grace', 'Scribe']);
  assertEqual(await grace.tiles().count(), 2, 'tiles: a bot has none');

  await grace.open('chat');
  await ada.open('chat');
  await ada.find('chat-input').pressSequentially('@scr');
  await ada.page.getByRole('option', { name: /Scribe/ }).waitFor();
  await ada.page.keyboard.press('Enter');
  await ada.find('chat-input').pressSequentially('what did we decide?');
  await ada.page.keyboard.press('Enter');
  for (const person of [ada, grace]) {
    await ended(person).first().waitFor();
    await until(`${person.name} reads the answer`, async () => (await text(ended(person).first())).includes('ship on Friday'));
  }
  const answer = ended(ada).first();
  await answer.getByTestId('answer-tools').locator('summary').click();
  await untilEqual('steps', () => answer.getByTestId('tool-step').first().getAttribute('data-state'), 'done');
  await look(ada, 'an answer');
  await ada.announced(/Scribe: Decisions .* Alan: We decided to ship on Friday/);

  const said = ada.page.locator('[data-testid="chat-message"]:not([data-run])').filter({ hasText: 'We decided to ship on Friday.' });
  assertEqual(await said.count(), 0, 'the message that it rests on is far up');
  await answer.getByTestId('citation').first().click();
  await until('the message that was cited is in sight', async () => (await said.count()) > 0 && said.evaluate((row) => {
    const { top, bottom } = row.getBoundingClientRect();
    return top >= 0 && bottom <= innerHeight && row.classList.contains('bg-accent-soft');
  }));

  assertEqual(await ada.page.evaluate(() => globalThis.e2e.announcements.filter((one) => one.includes('Scribe:')).length), 1, 'times that the answer was announced');
  await toggle(ada, 'scribe', false);
  await grace.open('people');
  await untilEqual('people after it went', () => grace.people(), ['Ada', 'Grace']);
});

test('bots: an answer grows for all, also for who reloads and who comes late; it is stopped, given anew, breaks off, and is refused', async (scene) => {
  const model = await Model.start();
  scene.onEnd(() => model.close());
  const server = await scene.ownServer(['--bots', await model.bots()]);
  const [ada, grace] = (await scene.inRoom(['Ada', 'Grace'], { camera: false, server })) as [Person, Person];
  await toggle(ada, 'sage', true);
  await untilEqual('badge of Sage', () => card(ada, 'sage').getByTestId('bot-engine').innerText(), 'test-model');
  await grace.open('chat');

  // A starter question leads to the chat; a tool, and the model's thoughts, stand in the answer.
  await card(ada, 'sage').getByTestId('bot-prompt').click();
  const first = await model.turn();
  first.think('A story? Let chance decide.');
  first.use('roll_dice', { dice: 2 });
  const turn = await model.turn();
  turn.say('Once upon a time 👩‍🚀 there ');
  for (const person of [ada, grace]) await until(`${person.name} reads the beginning`, async () => (await text(answers(person))).endsWith('there'));
  await untilEqual('steps', () => answers(ada).getByTestId('tool-step').getAttribute('data-state'), 'done');
  await answers(ada).getByTestId('answer-thinking').locator('summary').click();
  assert((await answers(ada).getByTestId('answer-thinking').innerText()).includes('Let chance decide.'), 'the thoughts can be read');
  assertEqual(await answers(ada).getAttribute('aria-busy'), 'true', 'busy while it grows');
  assertEqual(await answers(grace).getByTestId('answer-stop').count(), 0, 'a button to stop for who did not ask');

  const late = await scene.person('Alan', { server });
  await late.join({ camera: false });
  await late.open('chat');
  await ada.reload();
  await ada.open('chat');
  for (const person of [late, ada]) await until(`${person.name} reads what was written before`, async () => (await text(answers(person))).endsWith('there'));
  turn.say('was a room.\n\n');
  turn.say('Everybody in it **talked**.');
  const row = await answers(grace).elementHandle();
  turn.end();
  for (const person of [ada, grace, late]) {
    await ended(person).waitFor();
    assertEqual(await text(ended(person)), 'Once upon a time 👩‍🚀 there was a room.\n\nEverybody in it talked.', `what ${person.name} reads`);
    assertEqual(await answers(person).count(), 1, `answers that ${person.name} sees`);
  }
  assert(await row?.evaluate((element) => element.isConnected), 'the answer stays in its place when it is done');
  assert((await ended(grace).getByTestId('answer-receipt').innerText()).includes('test-model'), 'the receipt names the model');

  // Who comes back later can still look at what the tool was given and said.
  await late.reload();
  await late.open('chat');
  await ended(late).getByTestId('answer-tools').locator('summary').click();
  const step = await ended(late).getByTestId('tool-step').innerText();
  assert(/dice\s+2/.test(step) && step.includes('"rolls"'), `the tool's step after a reload: ${step}`);

  // Stopped by who asked.
  await ada.write('@Sage and then?');
  const second = await model.turn();
  second.say('Then came');
  await until('Grace reads the second answer', async () => (await text(answers(grace).nth(1))).endsWith('came'));
  await answers(ada).nth(1).getByTestId('answer-stop').click();
  await ended(grace).nth(1).getByTestId('answer-cancelled').waitFor();
  assertEqual(await text(ended(grace).nth(1)), 'Then came', 'what stays of a stopped answer');
  await until('the model is told', () => second.given);

  // Given anew: the earlier one is folded under the new one.
  await ended(ada).nth(1).getByTestId('answer-again').click();
  const third = await model.turn();
  third.say('Then came silence.');
  third.end();
  const anew = answers(grace).filter({ hasText: 'Then came silence.' });
  await anew.getByTestId('answer-earlier').waitFor();
  assertEqual(await answers(grace).count(), 2, 'answers in the list');
  await anew.getByTestId('answer-earlier').locator('summary').click();
  assert((await anew.getByTestId('answer-earlier').innerText()).includes('Then came'), 'the earlier answer is there');

  // It breaks off: what was written stays, and can be tried again.
  await ada.write('@Sage and after that?');
  const fourth = await model.turn();
  fourth.say('After that');
  await until('Ada reads the beginning', async () => (await text(answers(ada).last())).endsWith('that'));
  fourth.break();
  await ended(ada).last().getByTestId('answer-failed').waitFor();
  assertEqual(await text(ended(ada).last()), 'After that', 'what stays of a broken answer');
  await look(ada, 'answers of all kinds');
  await ended(ada).last().getByTestId('answer-retry').click();
  (await model.turn()).end();
  await until('nobody waits for an answer', async () => (await ada.find('answer-status').count()) === 0);

  // Who asks too often is told when to ask again, and nobody else is.
  await toggle(ada, 'pal', true);
  await ada.open('chat');
  await ada.write('@Pal hello');
  await ended(grace).filter({ hasText: 'Pal' }).first().waitFor();
  await ada.write('@Pal hello again');
  await until('Ada is told to wait', async () => (await ada.find('bot-wait').innerText()).includes('Pal can be asked again in'));
  assertEqual(await grace.find('bot-wait').count(), 0, 'that Grace is told to wait');
}, { limit: 60 });

test('bots: a tool that writes waits for a word, and runs with what was shown', async (scene) => {
  const model = await Model.start();
  scene.onEnd(() => model.close());
  const desk = await Desk.start();
  scene.onEnd(() => desk.close());
  const server = await scene.ownServer(['--bots', await model.bots(desk.url)]);
  const [ada, grace] = (await scene.inRoom(['Ada', 'Grace'], { camera: false, server })) as [Person, Person];
  await toggle(ada, 'sage', true);
  await ada.open('chat');
  await grace.open('chat');

  // Grace asks; she, or Ada who moderates, may decide.
  await grace.write('@Sage open a ticket for the projector');
  (await model.turn()).use('desk__open_ticket', { title: 'Projector <b>broken</b>', urgent: true });
  for (const person of [ada, grace]) {
    await until(`${person.name} sees what would be done`, async () => (await person.find('approval-input').innerText()).includes('Projector <b>broken</b>'));
  }
  await look(grace, 'a tool that waits for a word');
  await grace.announced(/Sage/);
  assertEqual(desk.tickets.length, 0, 'tickets before anybody has decided');
  await grace.find('approval-allow').click();
  const told = await model.turn();
  assert(told.asked.includes('ticket 1 is open'), `the model is told what the tool says: ${told.asked}`);
  assertEqual(desk.tickets, [{ title: 'Projector <b>broken</b>', urgent: true }], 'tickets');
  told.say('It is open.');
  told.end();
  await ended(ada).first().waitFor();

  // Denied by the moderator: the model is told so, and nothing was done.
  await grace.write('@Sage and one for the lamp');
  (await model.turn()).use('desk__open_ticket', { title: 'Lamp' });
  await ada.find('approval-deny').click();
  const refused = await model.turn();
  assert(refused.asked.includes('nobody allowed it'), `the model is told that it may not: ${refused.asked}`);
  refused.say('I may not.');
  refused.end();
  await ended(grace).nth(1).waitFor();
  assertEqual(desk.tickets.length, 1, 'tickets after a refusal');
}, { limit: 60 });
