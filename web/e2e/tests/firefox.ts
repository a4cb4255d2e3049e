import { audioEnergyOf, receptionOf } from '../harness/media';
import { launchFirefox } from '../harness/firefox';
import { untilMoving, type Person } from '../harness/person';
import { installProbe } from '../harness/probe';
import { test } from '../harness/suite';
import { until, untilEqual } from '../harness/until';

const byId = (testId: string): string => `[data-testid="${testId}"]`;

test('firefox: it meets Chromium in a room, and both see and hear each other', async (scene) => {
  const [ada] = (await scene.inRoom(['Ada'])) as [Person];
  const firefox = await launchFirefox();
  scene.onEnd(() => firefox.close());
  const page = await firefox.newPage();
  await page.evaluateOnNewDocument(installProbe);
  await page.goto(`${ada.url}/r/${ada.room}`);

  await page.locator(byId('lobby-name')).fill('Grace');
  await page.locator(byId('camera-toggle')).click();
  await page.waitForSelector(`${byId('camera-toggle')}[aria-pressed="true"]`);
  await page.locator(byId('lobby-join')).click();
  await page.waitForSelector(byId('stage'));

  const grace = await until('Grace has a tile', () =>
    page.evaluate(() => document.querySelector('[data-testid="tile"][data-self="true"]')?.getAttribute('data-participant')),
  );
  const id = await ada.id();
  const energyOfAda = (): Promise<number> => page.evaluate(audioEnergyOf, id);
  const energyOfGrace = (): Promise<number> => ada.page.evaluate(audioEnergyOf, grace);
  await Promise.all([
    untilMoving('Firefox sees Chromium', () => page.evaluate(receptionOf, { participant: id, source: 'camera' }), { seconds: 25 }),
    untilMoving('Chromium sees Firefox', () => ada.reception(grace), { seconds: 25, range: 15 }),
    until('Firefox hears Chromium', async () => (await energyOfAda()) > 0, { seconds: 25 }),
    until('Chromium hears Firefox', async () => (await energyOfGrace()) > 0, { seconds: 25 }),
  ]);

  await ada.open('chat');
  await page.locator(byId('chat-toggle')).click();
  await page.locator(byId('chat-input')).fill('#grace-1');
  await page.locator(byId('chat-send')).click();
  await ada.reads('#grace-1');
  await ada.write('#ada-1');
  await untilEqual('what Firefox reads', () => page.evaluate(() => document.body.innerText.match(/#[a-z]+-1/g)), ['#grace-1', '#ada-1']);
  await untilEqual('violations in Firefox', () => page.evaluate(() => globalThis.e2e.violations), []);
}, { limit: 90 });
