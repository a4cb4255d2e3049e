import type { Person } from '../harness/person';
import { test } from '../harness/suite';
import { assert, assertEqual, pass, until, untilEqual } from '../harness/until';

/** Waits until both have every one of `said` once, in the same order. */
async function sameTranscript(people: readonly Person[], said: readonly string[]): Promise<void> {
  const [first, ...others] = people as [Person, ...Person[]];
  const sorted = [...said].sort();
  await untilEqual(`what ${first.name} reads`, async () => (await first.transcript()).sort(), sorted, { seconds: 20 });
  const order = await first.transcript();
  for (const other of others) await untilEqual(`what ${other.name} reads`, () => other.transcript(), order, { seconds: 20 });
  // A double that comes late would come before what is written now.
  await first.write('#end-1');
  for (const person of people) {
    await person.reads('#end-1');
    assertEqual(await person.transcript(), [...order, '#end-1'], `what ${person.name} reads in the end`);
  }
}

const statusOf = (person: Person, text: string): Promise<string | null> => person.message(text).first().getAttribute('data-status');

test('recovery: a reload comes back into the same call with nothing lost or doubled', async (scene) => {
  const [ada, grace] = (await scene.inRoom(['Ada', 'Grace'])) as [Person, Person];
  await Promise.all([ada.open('chat'), grace.open('chat')]);
  await ada.write('#ada-1');
  await grace.reads('#ada-1');
  await ada.sees(grace);

  // The last message is perhaps not stored yet, and Grace goes on meanwhile.
  await ada.write('#ada-2');
  await Promise.all([ada.reload(), (async () => {
    for (const text of ['#grace-1', '#grace-2', '#grace-3']) await grace.write(text);
  })()]);

  await ada.open('chat');
  await untilEqual('tiles that Grace sees', () => grace.tiles().count(), 2, { seconds: 20 });
  await Promise.all([ada.sees(grace), grace.sees(ada), ada.hears(grace), grace.hears(ada)]);
  await sameTranscript([ada, grace], ['#ada-1', '#ada-2', '#grace-1', '#grace-2', '#grace-3']);
}, { limit: 90 });

test('recovery: ten seconds on a half-open network end in the same call with nothing lost or doubled', async (scene) => {
  const [ada, grace] = (await scene.inRoom(['Ada', 'Grace'])) as [Person, Person];
  await Promise.all([ada.open('chat'), grace.open('chat')]);
  await Promise.all([ada.sees(grace), grace.sees(ada)]);
  const before = { id: await ada.id(), connections: await ada.connections(), others: await grace.connections() };
  assertEqual(before.connections.length, 1, 'connections of Ada');

  // The socket stays open, and nothing passes.
  await ada.context.setOffline(true);
  const away = pass(10);
  await ada.write('#ada-1');
  await grace.write('#grace-1');
  await ada.find('connection-banner').waitFor({ timeout: 9_000 });
  await ada.write('#ada-2');
  await grace.write('#grace-2');
  await untilEqual('status of what Ada wrote', () => statusOf(ada, '#ada-2'), 'queued');
  await away;
  assertEqual(await grace.transcript(), ['#grace-1', '#grace-2'], 'what Grace reads meanwhile');
  await ada.sees(grace, { frames: 10 });

  await ada.context.setOffline(false);
  await ada.find('connection-banner').waitFor({ state: 'detached', timeout: 20_000 });
  await untilEqual('status of what Ada wrote', async () => [await statusOf(ada, '#ada-1'), await statusOf(ada, '#ada-2')], ['sent', 'sent']);
  await sameTranscript([ada, grace], ['#ada-1', '#ada-2', '#grace-1', '#grace-2']);

  assertEqual({ id: await ada.id(), connections: await ada.connections(), others: await grace.connections() }, before, 'the call');
  await untilEqual('tiles that Grace sees', () => grace.tiles().count(), 2);
  await Promise.all([ada.sees(grace), grace.sees(ada), ada.hears(grace), grace.hears(ada)]);
}, { limit: 90 });

test('recovery: a network that falls silent is noticed, and the call goes on when it is back', async (scene) => {
  const relay = await scene.relay();
  const [grace] = (await scene.inRoom(['Grace'])) as [Person];
  const [ada] = (await scene.inRoom(['Ada'], { server: relay })) as [Person];
  await Promise.all([ada.open('chat'), grace.open('chat')]);
  await Promise.all([ada.sees(grace), grace.sees(ada)]);
  const before = { id: await ada.id(), connections: await ada.connections() };

  // The browser believes that it is online; only a question without an answer tells.
  relay.freeze();
  await ada.write('#ada-1');
  await grace.write('#grace-1');
  await ada.find('connection-banner').waitFor({ timeout: 20_000 });
  await ada.write('#ada-2');
  await untilEqual('status of what Ada wrote', () => statusOf(ada, '#ada-2'), 'queued');
  await ada.sees(grace, { frames: 10 });

  relay.restore();
  await ada.find('connection-banner').waitFor({ state: 'detached', timeout: 30_000 });
  await sameTranscript([ada, grace], ['#ada-1', '#ada-2', '#grace-1']);
  assertEqual({ id: await ada.id(), connections: await ada.connections() }, before, 'the call');
  await Promise.all([ada.sees(grace), grace.sees(ada), ada.hears(grace), grace.hears(ada)]);
}, { limit: 120 });

test('recovery: an outage that outlasts the session ends in a call with everybody', async (scene) => {
  const relay = await scene.relay();
  const [grace] = (await scene.inRoom(['Grace'])) as [Person];
  const [ada] = (await scene.inRoom(['Ada'], { server: relay })) as [Person];
  await Promise.all([ada.open('chat'), grace.open('chat')]);
  await Promise.all([ada.sees(grace), grace.sees(ada)]);

  relay.cut();
  await ada.find('connection-banner').waitFor();
  await ada.write('#ada-1');
  // Alan comes while the server still holds Ada's place, and she is gone before she is back.
  const [alan] = (await scene.inRoom(['Alan'])) as [Person];
  await untilEqual('tiles that Alan sees', () => alan.tiles().count(), 3);
  await untilEqual('tiles that Grace sees', () => grace.tiles().count(), 2, { seconds: 30 });
  await grace.write('#grace-1');

  relay.restore();
  await ada.find('connection-banner').waitFor({ state: 'detached', timeout: 40_000 });
  await alan.open('chat');
  const people = [ada, grace, alan];
  await sameTranscript(people, ['#ada-1', '#grace-1']);
  for (const person of people) await untilEqual(`tiles that ${person.name} sees`, () => person.tiles().count(), 3);
  await Promise.all([ada.sees(grace), ada.sees(alan), grace.sees(ada), alan.sees(ada), ada.hears(alan), alan.hears(ada)]);
}, { limit: 120 });

test('recovery: a server that was killed comes back under an open call', async (scene) => {
  const server = await scene.ownServer();
  const people = (await scene.inRoom(['Ada', 'Grace'], { server })) as [Person, Person];
  const [ada, grace] = people;
  await Promise.all([ada.open('chat'), grace.open('chat')]);
  await ada.write('#ada-1');
  await Promise.all([grace.reads('#ada-1'), ada.sees(grace), grace.sees(ada)]);
  const before = { ada: await ada.connections(), grace: await grace.connections() };

  await server.kill();
  await Promise.all(people.map((person) => person.find('connection-banner').waitFor({ timeout: 10_000 })));
  await ada.write('#ada-2');
  await grace.write('#grace-1');
  await untilEqual('status of what Ada wrote', () => statusOf(ada, '#ada-2'), 'queued');
  // What people see and hear of each other does not need the server.
  await Promise.all([ada.sees(grace), grace.sees(ada), ada.hears(grace), grace.hears(ada)]);

  await server.start();
  await Promise.all(people.map((person) => person.find('connection-banner').waitFor({ state: 'detached', timeout: 30_000 })));
  await sameTranscript(people, ['#ada-1', '#ada-2', '#grace-1']);
  await until('the same call', async () => {
    const now = { ada: await ada.connections(), grace: await grace.connections() };
    return JSON.stringify(now) === JSON.stringify(before);
  });
  for (const person of people) await untilEqual(`tiles that ${person.name} sees`, () => person.tiles().count(), 2);
  await Promise.all([ada.sees(grace), grace.sees(ada), ada.hears(grace), grace.hears(ada)]);
}, { limit: 120 });

test('recovery: ICE restarts on both sides at once leave the call as it was', async (scene) => {
  const [ada, grace] = (await scene.inRoom(['Ada', 'Grace'])) as [Person, Person];
  await Promise.all([grace.sees(ada), ada.sees(grace)]);

  const credentials = (person: Person): Promise<string[]> =>
    person.page.evaluate(() =>
      globalThis.e2e.connections
        .filter((connection) => connection.connectionState !== 'closed')
        .map((connection) => /a=ice-ufrag:(\S+)/.exec(connection.currentLocalDescription?.sdp ?? '')?.[1] ?? ''),
    );
  const before = await Promise.all([ada, grace].map(credentials));
  assert(before.every((all) => all.length === 1 && all[0] !== ''), 'one connection on each side');
  await Promise.all(
    [ada, grace].map((person) =>
      person.page.evaluate(() => {
        for (const connection of globalThis.e2e.connections) connection.restartIce();
      }),
    ),
  );
  for (const [i, person] of [ada, grace].entries()) {
    await until(`new ICE credentials of ${person.name}`, async () => {
      const now = await credentials(person);
      return now.length === 1 && now[0] !== '' && now[0] !== before[i]?.[0];
    });
  }
  await Promise.all([grace.sees(ada), ada.sees(grace), grace.hears(ada)]);
});
