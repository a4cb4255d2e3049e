import type { Person } from '../harness/person';
import type { Proxy } from '../harness/proxy';
import { test } from '../harness/suite';
import { assert, assertEqual, until, untilEqual } from '../harness/until';

const countOf = (proxy: Proxy, what: string): number => proxy.requests.filter((one) => one === what).length;

/** Opens the statistics of the call, where it says whether messages go the slower way. */
async function openStats(person: Person): Promise<void> {
  await person.find('more-menu').click();
  await person.find('stats-toggle').click();
  await person.find('stats').waitFor();
}

const goesSlower = async (person: Person): Promise<boolean> => (await person.find('stats-fallback').count()) > 0;

test('transport: who may have no WebSocket chats and calls all the same, and moves to one that nobody notices', async (scene) => {
  const proxy = await scene.proxy();
  proxy.blocking = true;
  const [grace] = (await scene.inRoom(['Grace'])) as [Person];
  const [ada] = (await scene.inRoom(['Ada'], { server: proxy })) as [Person];
  await Promise.all([ada.open('chat'), grace.open('chat')]);
  await ada.write('#ada-1');
  await grace.reads('#ada-1');
  await grace.write('#grace-1');
  await ada.reads('#grace-1');
  await Promise.all([ada.sees(grace), grace.sees(ada), ada.hears(grace), grace.hears(ada)]);
  await Promise.all([openStats(ada), openStats(grace)]);
  assertEqual([await goesSlower(ada), await goesSlower(grace)], [true, false], 'who is told of the slower way');
  assertEqual(countOf(proxy, 'GET /events'), 1, 'streams of Ada');
  assert(countOf(proxy, 'UPGRADE /ws') >= 2, 'WebSockets that Ada has tried');
  const before = { id: await ada.id(), ada: await ada.connections(), grace: await grace.connections() };

  // Another network, as far as the browser can tell.
  proxy.blocking = false;
  const posts = countOf(proxy, 'POST /send');
  await ada.page.evaluate(() => window.dispatchEvent(new Event('online')));
  await untilEqual('the slower way is over', () => goesSlower(ada), false, { seconds: 20 });
  await ada.write('#ada-2');
  await grace.write('#grace-2');
  await Promise.all([grace.reads('#ada-2'), ada.reads('#grace-2')]);
  assertEqual(await ada.transcript(), await grace.transcript(), 'what both read');
  assertEqual({ id: await ada.id(), ada: await ada.connections(), grace: await grace.connections() }, before, 'the call');
  await Promise.all([ada.sees(grace), grace.sees(ada)]);
  assert(countOf(proxy, 'POST /send') <= posts + 2, 'Ada says no more by POST');
  const told = await grace.page.evaluate(() => globalThis.e2e.announcements);
  assert(!told.some((text) => /Ada.*(left|gone|reconnect)/i.test(text)), `Grace was told: ${told.join(' | ')}`);
}, { limit: 90 });

test('transport: where events are held back too, the first way that opens is taken', async (scene) => {
  const proxy = await scene.proxy();
  proxy.blocking = true;
  const [grace] = (await scene.inRoom(['Grace'], { camera: false })) as [Person];
  const ada = await scene.person('Ada', { server: proxy });
  proxy.buffering = true;
  await ada.find('lobby-name').fill('Ada');
  await ada.find('lobby-join').click();
  await until('events were asked for, and did not come', () => Promise.resolve(countOf(proxy, 'GET /events') > 0), { seconds: 15 });
  proxy.blocking = false;
  await ada.entered();
  assert(countOf(proxy, 'UPGRADE /ws') >= 3, 'WebSockets that Ada has tried');
  await Promise.all([ada.open('chat'), grace.open('chat')]);
  await ada.write('#ada-1');
  await grace.reads('#ada-1');
  await openStats(ada);
  assert(!(await goesSlower(ada)), 'Ada goes over a WebSocket');

  // Who closes the page has left at once: also by the slower way.
  proxy.buffering = false;
  proxy.blocking = true;
  await until('Ada goes the slower way', async () => {
    // A word from the browser about its network is a reason not to wait for the next attempt.
    await ada.page.evaluate(() => window.dispatchEvent(new Event('online')));
    return goesSlower(ada);
  }, { everyMs: 500 });
  await untilEqual('tiles that Grace sees', () => grace.tiles().count(), 2);
  const since = Date.now();
  await ada.page.close({ runBeforeUnload: true });
  await untilEqual('tiles that Grace sees', () => grace.tiles().count(), 1, { seconds: 20 });
  assert(Date.now() - since < 8_000, `Ada was gone after ${Date.now() - since} ms`);
}, { limit: 120 });
