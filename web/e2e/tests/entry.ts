import { violations } from '../harness/axe';
import { audioEnergyOf } from '../harness/media';
import { installProbe } from '../harness/probe';
import type { Person } from '../harness/person';
import { test } from '../harness/suite';
import { assert, assertEqual, until, untilEqual } from '../harness/until';

for (const [devices, title] of [['none', 'without camera and microphone'], ['denied', 'whose camera and microphone are refused']] as const) {
  test(`entry: somebody ${title} is told so and joins all the same`, async (scene) => {
    const [grace] = (await scene.inRoom(['Grace'])) as [Person];
    const ada = await scene.person('Ada', { devices });
    await ada.find('device-help').waitFor();
    await ada.join({ camera: false });

    await Promise.all([ada.sees(grace), ada.hears(grace)]);
    const tile = grace.tile(await ada.id());
    await untilEqual('tile of Ada', async () => [await tile.getAttribute('data-muted'), await tile.getAttribute('data-camera')], ['true', 'false']);
    await Promise.all([ada.open('chat'), grace.open('chat')]);
    await ada.write('#ada-1');
    await grace.reads('#ada-1');

    // Asking again explains again, and the call goes on.
    await ada.find('camera-toggle').click();
    await ada.announced(devices === 'denied' ? /not allowed to use the camera/ : /found for the camera/);
    await untilEqual('camera of Ada', () => ada.find('camera-toggle').getAttribute('aria-pressed'), 'false');
    await ada.sees(grace, { frames: 5 });
  });
}

test('entry: a phone does lobby, call and chat', async (scene) => {
  const [grace] = (await scene.inRoom(['Grace'])) as [Person];
  const ada = await scene.person('Ada', { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 });
  await withinWidth(ada, 'lobby');
  await ada.find('lobby-name').fill('Ada');
  await ada.find('camera-toggle').tap();
  await untilEqual('camera in the lobby', () => ada.find('camera-toggle').getAttribute('aria-pressed'), 'true');
  await ada.find('lobby-join').tap();
  await ada.entered();

  await Promise.all([ada.sees(grace), grace.sees(ada)]);
  await withinWidth(ada, 'call');
  await targetsAreLarge(ada);
  assertEqual(await violations(ada.page), [], 'what axe finds in the call');
  await ada.find('mic-toggle').tap();
  await untilEqual('microphone', () => ada.find('mic-toggle').getAttribute('aria-pressed'), 'false');

  await ada.find('chat-toggle').tap();
  await ada.find('chat-input').fill('#ada-1');
  await ada.find('chat-send').tap();
  await grace.open('chat');
  await grace.reads('#ada-1');
  await grace.write('#grace-1');
  await ada.reads('#grace-1');
  await withinWidth(ada, 'chat');
  assertEqual(await violations(ada.page), [], 'what axe finds in the chat');
  await ada.find('leave').tap();
  await ada.find('removed-screen').waitFor();
});

async function withinWidth(person: Person, where: string): Promise<void> {
  const beyond = await person.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assertEqual(beyond, 0, `pixels that the ${where} is too wide for a phone`);
}

/** WCAG 2.5.8 asks for 24 pixels; a thumb wants 44. */
async function targetsAreLarge(person: Person): Promise<void> {
  const boxes = await person.page.locator('footer button, header button').evaluateAll((buttons) =>
    buttons.map((button) => {
      const { width, height, left, right, top, bottom } = button.getBoundingClientRect();
      const inside = left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight;
      return { name: button.getAttribute('aria-label') ?? button.textContent, width, height, inside };
    }),
  );
  assert(boxes.length >= 6, `controls on a phone: ${boxes.length}`);
  for (const { name, width, height, inside } of boxes) {
    assert(inside && width >= 44 && height >= 44, `${name} is ${width}x${height}${inside ? '' : ', outside of the window'}`);
  }
}

test('entry: an invitation with a token lets in where guests are refused', async (scene) => {
  const server = await scene.ownServer(['--guests', 'off']);
  const [forAda, forGrace] = await Promise.all(
    (['moderator', 'viewer'] as const).map((role) => server.token(['--user', `u-${role}`, '--name', `A ${role}`, '--role', role, '--rooms', scene.room])),
  );

  const ada = await scene.person('Nobody', { server });
  await ada.find('lobby-name').fill('Nobody');
  await ada.find('lobby-join').click();
  await ada.find('lobby-failure').waitFor();
  await ada.find('lobby-token').fill(forAda ?? '');
  await ada.find('lobby-join').click();
  await ada.entered();
  await ada.open('people');
  await ada.find('lock-toggle').waitFor();

  const grace = await scene.person('Viewer', { server });
  await grace.page.goto('about:blank');
  await grace.page.goto(`${server.url}/r/${scene.room}#token=${forGrace}`);
  assertEqual(await grace.find('lobby-name').inputValue(), 'A viewer', 'name in the lobby');
  assertEqual(new URL(grace.page.url()).hash, '', 'token in the address bar');
  await grace.find('lobby-join').click();
  await grace.entered();
  await untilEqual('people', () => ada.people(), ['A moderator', 'A viewer']);

  // A viewer watches, hears and writes.
  await ada.press('camera-toggle', true);
  await Promise.all([grace.sees(ada), grace.hears(ada)]);
  await grace.open('chat');
  await grace.write('#viewer-1');
  await ada.open('chat');
  await ada.reads('#viewer-1');
  await untilEqual('whether the viewer seems to speak', async () => ada.tile(await grace.id()).getAttribute('data-muted'), 'true');
  assertEqual(await ada.page.evaluate(audioEnergyOf, await grace.id()), 0, 'sound from a viewer');
});

// Every other test fails too when a page breaks the policy or asks another origin; this one proves that they would see it.
test('entry: the content security policy stops what does not belong here', async (scene) => {
  // A page whose violations are wanted: none of this scene's people.
  const context = await scene.browser.newContext();
  scene.onEnd(() => context.close());
  await context.addInitScript(installProbe);
  const page = await context.newPage();
  const header = (await page.goto(`${scene.server.url}/r/${scene.room}`))?.headers()['content-security-policy'] ?? '';
  const directives = new Map(header.split(';').map((part) => part.trim().split(/\s+/)).map(([name, ...values]) => [name, values.join(' ')]));
  assertEqual(directives.get('default-src'), "'self'", 'default-src');
  assert(!/unsafe-inline|'unsafe-eval'|\*|http/.test(directives.get('script-src') ?? ''), `script-src is ${directives.get('script-src')}`);
  assertEqual(await page.evaluate(() => globalThis.e2e.violations), [], 'violations of the app itself');

  const answers: string[] = [];
  page.on('response', (response) => {
    if (!response.url().startsWith(scene.server.url)) answers.push(response.url());
  });
  const attempts = [
    () => void (document.body.innerHTML += '<img src=x onerror="globalThis.ran = true">'),
    () => void document.body.append(Object.assign(document.createElement('script'), { src: 'https://example.invalid/a.js' })),
    () => void (new Image().src = 'https://example.invalid/pixel.png'),
    () => void fetch('https://example.invalid/').catch(() => undefined),
    () => void new WebSocket('wss://example.invalid/'),
  ];
  for (const [index, attempt] of attempts.entries()) {
    // Trusted types throw, the others only tell.
    await page.evaluate(attempt).catch(() => undefined);
    await until(`attempt ${index + 1} is a violation`, async () => (await page.evaluate(() => globalThis.e2e.violations)).length > index);
  }
  assertEqual(await page.evaluate(() => 'ran' in globalThis), false, 'whether an inline handler ran');
  assertEqual(answers, [], 'answers from elsewhere');
});
