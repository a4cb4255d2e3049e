import type { Locator } from 'playwright-core';
import type { Person } from '../harness/person';
import { test } from '../harness/suite';
import { letIn } from '../harness/talker';
import { assertEqual, until, untilEqual } from '../harness/until';

const panel = (person: Person): Locator => person.find('thread-panel');
const inThread = (person: Person): Promise<string[]> => wordsOf(panel(person));
const inChat = (person: Person): Promise<string[]> => wordsOf(person.find('chat-panel'));
const wordsOf = (part: Locator): Promise<string[]> =>
  part.getByTestId('chat-message').evaluateAll((rows) => rows.flatMap((row) => row.textContent?.match(/#[a-z]+-\d+/g) ?? []));

async function reply(person: Person, text: string): Promise<void> {
  const field = panel(person).getByTestId('chat-input');
  await field.fill(text);
  await field.press('Enter');
}

const lineUnder = (person: Person, text: string): Locator => person.find('chat-panel').getByTestId('chat-message').filter({ hasText: text }).getByTestId('thread-line');
const focused = (person: Person): Promise<string | null> => person.page.evaluate(() => document.activeElement?.getAttribute('data-testid') ?? null);

test('threads: replies stay out of the chat, reach who opened the thread, and outlive a reload and a lost connection', async (scene) => {
  const relay = await scene.relay();
  const [ada, alan] = (await scene.inRoom(['Ada', 'Alan'], { camera: false })) as [Person, Person];
  const [grace] = (await scene.inRoom(['Grace'], { camera: false, server: relay })) as [Person];
  const people = [ada, alan, grace];
  for (const person of people) await person.open('chat');
  await alan.write('#alan-1 lunch?');
  for (const person of people) await person.reads('#alan-1');

  // From the menu of the message; the composer takes the focus.
  await ada.chooseForMessage('#alan-1', 'chat-thread');
  await untilEqual('focus of Ada', () => focused(ada), 'chat-input');
  assertEqual(await ada.find('thread-root').innerText().then((text) => text.includes('#alan-1')), true, 'the message above the thread');
  await panel(ada).getByTestId('chat-input').pressSequentially('#ada-1');
  await panel(ada).getByTestId('chat-input').press('Enter');
  await untilEqual('thread of Ada', () => inThread(ada), ['#ada-1']);

  // From the line under the message, which everybody gets.
  await untilEqual('line that Alan sees', async () => /^1 reply · last .+/.test(await lineUnder(alan, '#alan-1').innerText()), true);
  await lineUnder(grace, '#alan-1').click();
  await untilEqual('thread of Grace', () => inThread(grace), ['#ada-1']);
  await panel(grace).getByTestId('chat-input').pressSequentially('#gra');
  await until('Ada sees that Grace is typing', async () => (await panel(ada).getByTestId('typing-line').innerText()).includes('Grace'));
  assertEqual(await ada.find('chat-panel').getByTestId('typing-line').innerText().then((text) => text.trim()), '', 'who is typing in the chat');
  await reply(grace, '#grace-1');
  for (const person of [ada, grace]) await untilEqual(`thread of ${person.name}`, () => inThread(person), ['#ada-1', '#grace-1']);
  await ada.announced(/Grace: #grace-1/);

  // Who did not open it sees that it grows, and what is unread.
  await until('the line that Alan sees has grown', async () => (await lineUnder(alan, '#alan-1').innerText()).includes('2 replies'));
  assertEqual(await lineUnder(alan, '#alan-1').getByTestId('thread-unread').getAttribute('data-count'), '2', 'unread replies of Alan');
  for (const person of people) assertEqual(await inChat(person), ['#alan-1'], `chat of ${person.name}`);

  // Escape closes it and gives the focus back to where it was opened.
  await panel(grace).getByTestId('chat-input').press('Escape');
  await panel(grace).waitFor({ state: 'detached' });
  await untilEqual('focus of Grace', () => focused(grace), 'thread-line');
  await lineUnder(grace, '#alan-1').click();
  await untilEqual('thread of Grace, again', () => inThread(grace), ['#ada-1', '#grace-1']);

  // The socket of Grace is lost: what was said meanwhile comes, what she wrote goes, nothing twice.
  relay.cut();
  await grace.find('connection-banner').waitFor();
  await reply(grace, '#grace-2');
  await reply(ada, '#ada-2');
  relay.restore();
  await grace.find('connection-banner').waitFor({ state: 'detached', timeout: 20_000 });
  for (const person of [ada, grace]) await untilEqual(`thread of ${person.name} after the loss`, () => inThread(person), ['#ada-1', '#grace-1', '#ada-2', '#grace-2']);

  // A reload keeps everything, and what was read; the list leads back.
  await ada.reload();
  await ada.open('chat');
  await until('the line is back', async () => (await lineUnder(ada, '#alan-1').innerText()).includes('4 replies'));
  await ada.find('threads-toggle').click();
  assertEqual(await ada.find('thread-row').count(), 1, 'threads in the list');
  await ada.find('thread-row').click();
  await untilEqual('thread of Ada after the reload', () => inThread(ada), ['#ada-1', '#grace-1', '#ada-2', '#grace-2']);
  await untilEqual('unread replies of Ada', () => lineUnder(ada, '#alan-1').getByTestId('thread-unread').count(), 0);
  await ada.find('thread-back').click();
  await ada.find('thread-row').waitFor();
});

test('threads: on a phone a thread stands in the chat\'s place, and leads back to its message', async (scene) => {
  const [ada] = (await scene.inRoom(['Ada'], { camera: false, viewport: { width: 390, height: 844 } })) as [Person];
  await ada.find('chat-toggle').click();
  await ada.write('#ada-1');
  await ada.reads('#ada-1');
  await ada.chooseForMessage('#ada-1', 'chat-thread');
  await panel(ada).waitFor();
  assertEqual(await ada.find('chat-panel').count(), 0, 'chats beside the thread');
  await reply(ada, '#ada-2');
  await untilEqual('thread', () => inThread(ada), ['#ada-2']);
  await ada.find('thread-back').click();
  await until('the chat is back with its line', async () => (await lineUnder(ada, '#ada-1').innerText()).includes('1 reply'));
  await untilEqual('focus after going back', () => focused(ada), 'thread-line');
});

test('threads: a conversation with a bot is one\'s own', async (scene) => {
  const [ada, alan] = (await scene.inRoom(['Ada', 'Alan'], { camera: false })) as [Person, Person];
  await letIn(scene.server.url, scene.room, 'pip');
  await alan.open('chat');
  await ada.open('people');
  await ada.find('talk-privately').click();
  await panel(ada).waitFor();
  await reply(ada, 'What is 17 % of 240?');
  const answers = panel(ada).getByTestId('chat-message').and(ada.page.locator('[data-own="false"]'));
  await until('Pip answers', async () => (await answers.count()) > 0 && (await answers.first().innerText()).includes('40.8'));
  assertEqual(await panel(ada).getByRole('heading').first().innerText(), 'Pip', 'name of the conversation');

  // It is found again by who has had it, after a reload too, and by nobody else.
  await ada.reload();
  await ada.open('chat');
  await ada.find('threads-toggle').click();
  await ada.find('thread-row').click();
  await until('the conversation is back', async () => (await answers.count()) > 0 && (await answers.first().innerText()).includes('40.8'));
  await alan.write('#alan-1');
  await ada.reads('#alan-1');
  assertEqual([await inChat(alan), await alan.find('threads-toggle').count()], [['#alan-1'], 0], 'what Alan sees');
});
