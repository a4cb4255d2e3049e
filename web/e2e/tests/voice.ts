import { appendFile } from 'node:fs/promises';
import { audioEnergyOf } from '../harness/media';
import { violations } from '../harness/axe';
import { Model } from '../harness/model';
import type { Person } from '../harness/person';
import { Speech } from '../harness/speech';
import { test } from '../harness/suite';
import { assert, assertEqual, until, untilEqual } from '../harness/until';

declare global {
  /** Opens and closes the mouth of who sits before the page. */
  var mouth: ((open: boolean) => void) | undefined;
  /** What was received of a bot's sound, as it was looked at: Unix milliseconds and packets. */
  var received: { at: number; packets: number }[] | undefined;
}

/** The fake microphone of Chromium beeps too briefly for speech. This one hums when the test says so. */
function hums(): void {
  // A page is empty before it is the app's, and no place for devices.
  const devices = navigator.mediaDevices as MediaDevices | undefined;
  if (devices) devices.getUserMedia = (): Promise<MediaStream> => {
    const context = new AudioContext();
    const voice = new OscillatorNode(context, { frequency: 220 });
    const gain = new GainNode(context, { gain: 0 });
    const out = context.createMediaStreamDestination();
    voice.connect(gain).connect(out);
    voice.start();
    globalThis.mouth = (open) => void (gain.gain.value = open ? 0.5 : 0);
    return Promise.resolve(out.stream);
  };
}

/** Looks at what comes of a participant's sound every few milliseconds. */
function watchSound(participant: string): void {
  const seen: { at: number; packets: number }[] = [];
  globalThis.received = seen;
  const look = async (): Promise<void> => {
    const element = document.querySelector<HTMLAudioElement>(`audio[data-participant="${participant}"]`);
    const track = (element?.srcObject as MediaStream | null)?.getAudioTracks()[0];
    for (const connection of globalThis.e2e.connections) {
      const receiver = connection.getReceivers().find((one) => one.track === track);
      if (!receiver) continue;
      for (const report of (await receiver.getStats()).values() as Iterable<{ type: string; packetsReceived?: number }>) {
        if (report.type === 'inbound-rtp') seen.push({ at: Date.now(), packets: report.packetsReceived ?? 0 });
      }
    }
    setTimeout(() => void look(), 10);
  };
  void look();
}

const bot = 'bot-sage';
const voiceSwitch = (person: Person) => person.page.locator('[data-testid="bot-card"][data-bot="sage"]').getByTestId('bot-voice').getByRole('switch');
const earSwitch = (person: Person) => person.page.locator('[data-testid="bot-card"][data-bot="sage"]').getByTestId('bot-hearing').getByRole('switch');
const energy = (person: Person): Promise<number> => person.page.evaluate(audioEnergyOf, bot);

test('voice: a bot speaks its answers to all, with captions, falls silent when a person speaks, and can be muted', async (scene) => {
  const [model, speech] = [await Model.start(), await Speech.start()];
  scene.onEnd(() => model.close());
  scene.onEnd(() => Promise.resolve(speech.close()));
  const file = await model.bots();
  await appendFile(file, speech.settings());
  const server = await scene.ownServer(['--bots', file]);
  const [ada, grace] = (await scene.inRoom(['Ada', 'Grace'], { camera: false, server, init: hums })) as [Person, Person];
  await ada.open('bots');
  await ada.page.locator('[data-testid="bot-card"][data-bot="sage"]').getByTestId('bot-toggle').getByRole('switch').click();
  await voiceSwitch(ada).waitFor();
  assertEqual(await grace.find('bot-speaks').count(), 0, 'voices before somebody wants one');
  await voiceSwitch(ada).click();
  await untilEqual('the switch of the voice', () => voiceSwitch(ada).getAttribute('aria-checked'), 'true');
  for (const person of [ada, grace]) await person.find('bot-speaks').getByText('Sage speaks').waitFor();
  await grace.page.getByText('Sage can speak in this call.').waitFor();
  await untilEqual('the way of the media', () => grace.find('mode').getAttribute('data-mode'), 'sfu');
  const found = await violations(ada.page);
  assert(found.length === 0, `the panel: ${found.join('\n')}`);

  await grace.find('more-menu').click();
  await grace.find('captions-toggle').click();
  await grace.page.keyboard.press('Escape');
  await until('Grace has the sound of Sage', async () => (await grace.page.locator(`audio[data-participant="${bot}"]`).count()) === 1);
  await ada.page.waitForFunction(() => globalThis.mouth !== undefined);
  await until('Ada is heard by the server', async () => (await grace.page.locator('audio[data-source="microphone"]').count()) === 2);

  await ada.open('chat');
  await ada.write('@Sage tell us');
  const turn = await model.turn();
  turn.say('**This** is the first sentence. This is the second one. ');
  await grace.find('caption').getByText('This is the first sentence.').waitFor();
  await until('Grace hears Sage', async () => (await energy(grace)) > 0.001);
  turn.say('This is the third one. And a fourth. And a fifth one, too.');
  turn.end();
  await grace.find('caption').getByText('This is the second one.').waitFor();
  assert(speech.said.includes('This is the first sentence.'), `the speech service is given ${speech.said.join(' | ')}`);

  // A person speaks.
  await grace.page.evaluate(watchSound, bot);
  await until('packets are counted', () => grace.page.evaluate(() => (globalThis.received?.length ?? 0) > 20));
  const began = await ada.page.evaluate(() => {
    globalThis.mouth?.(true);
    return Date.now();
  });
  await until('the caption is gone', async () => (await grace.find('caption').count()) === 0);
  await ada.page.evaluate(() => globalThis.mouth?.(false));
  const seen = (await grace.page.evaluate(() => globalThis.received)) ?? [];
  const most = Math.max(...seen.map(({ packets }) => packets));
  const last = seen.find(({ packets }) => packets === most)?.at ?? 0;
  console.log(`      the last packet of Sage came ${last - began} ms after Ada began to speak`);
  assert(last - began < 400, `the last packet came ${last - began} ms after a person began to speak`);
  const after = await grace.page.evaluate(() => new Promise<number>((resolve) => {
    setTimeout(() => resolve(globalThis.received?.at(-1)?.packets ?? 0), 2_000);
  }));
  assertEqual(after, most, 'packets two seconds later: the rest is not spoken');

  // Muted by a moderator in the middle of the next answer, for all.
  await ada.write('@Sage and then?');
  const second = await model.turn();
  second.say('This is another answer, a long one. It goes on and on. And on.');
  second.end();
  await grace.find('caption').first().waitFor();
  await ada.open('people');
  await ada.page.locator('[data-testid="person"][data-user="bot:sage"]').getByTestId('person-actions').click();
  await ada.find('moderate-mute').click();
  for (const person of [ada, grace]) await untilEqual(`voices that ${person.name} is told of`, () => person.find('bot-speaks').count(), 0);
  await untilEqual('captions', () => grace.find('caption').count(), 0);
  await untilEqual('sounds of Sage', () => grace.page.locator(`audio[data-participant="${bot}"]`).count(), 0);
}, { limit: 90 });

test('voice: a bot hears people when a moderator lets it; all are told and can read along, and who calls it is answered', async (scene) => {
  const [model, speech] = [await Model.start(), await Speech.start()];
  scene.onEnd(() => model.close());
  scene.onEnd(() => Promise.resolve(speech.close()));
  const file = await model.bots();
  await appendFile(file, speech.settings());
  const server = await scene.ownServer(['--bots', file]);
  const [ada, grace] = (await scene.inRoom(['Ada', 'Grace'], { camera: false, server, init: hums })) as [Person, Person];
  await ada.open('bots');
  await ada.page.locator('[data-testid="bot-card"][data-bot="sage"]').getByTestId('bot-toggle').getByRole('switch').click();
  await earSwitch(ada).waitFor();
  assertEqual(await grace.find('bot-hears').count(), 0, 'ears before somebody wants one');
  await earSwitch(ada).click();
  await untilEqual('the switch of the ear', () => earSwitch(ada).getAttribute('aria-checked'), 'true');
  for (const person of [ada, grace]) await person.find('bot-hears').getByText('Sage listens').waitFor();
  await grace.page.getByText('Sage listens to this call.').waitFor();
  await untilEqual('the way of the media', () => grace.find('mode').getAttribute('data-mode'), 'sfu');
  const found = await violations(ada.page);
  assert(found.length === 0, `the panel: ${found.join('\n')}`);

  await grace.find('more-menu').click();
  await grace.find('captions-toggle').click();
  await grace.page.keyboard.press('Escape');
  await ada.page.waitForFunction(() => globalThis.mouth !== undefined);
  await until('Ada is heard by the server', async () => (await grace.page.locator('audio[data-source="microphone"]').count()) === 1);
  speech.words.push('Sage, what did we decide?');
  await ada.page.evaluate(() => globalThis.mouth?.(true));
  await ada.page.waitForTimeout(4_000); // nobody is heard for the first 3 s: they must be able to know of it
  await ada.page.evaluate(() => globalThis.mouth?.(false));
  await grace.find('caption').getByText('Sage, what did we decide?').waitFor();
  assertEqual(await grace.find('caption').innerText(), 'Ada: Sage, what did we decide?', 'the caption');
  const turn = await model.turn();
  assert(turn.asked.includes('Ada asks you aloud') && turn.asked.endsWith('Sage, what did we decide?'), `the model is asked: ${turn.asked}`);
  turn.say('To ship on Friday.');
  turn.end();
  await grace.open('chat');
  await grace.page.getByText('To ship on Friday.').waitFor();

  await earSwitch(ada).click();
  for (const person of [ada, grace]) await untilEqual(`ears that ${person.name} is told of`, () => person.find('bot-hears').count(), 0);
}, { limit: 60 });
