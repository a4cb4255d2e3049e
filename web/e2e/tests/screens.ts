import { followScreen, installBoard, likeness, takeScreen, type Followed } from '../harness/board';
import { audioEnergyOf, receivedOf } from '../harness/media';
import { announcedOnly, withoutAV1 } from '../harness/network';
import type { Person, Source } from '../harness/person';
import { test } from '../harness/suite';
import { linkHost, UdpLink } from '../harness/udp-link';
import { assert, assertEqual, pass, until, untilEqual } from '../harness/until';
import { seenAt, watchTile, type Watched } from '../harness/watch';

/** What a picture must be like the one that was drawn: text of 15 pixels is as sharp as on the screen itself. */
const sharp = 0.95;

/** A screen is sharp so long after its first picture. */
const withinMs = 1000;
/** The first one comes so soon: in a quarter of a second on a machine that has time. */
const firstWithinMs = 2000;

const tell = (line: string): void => void process.stdout.write(`      ${line}\n`);

/** Looks at a screen until its picture can be told, and says how much it is like what was drawn. */
async function look(viewer: Person, owner: Person): Promise<{ number: number; width: number; ssim: number }> {
  const participant = await owner.id();
  const taken = await until(`${viewer.name} sees the screen of ${owner.name}`, () => takeScreen(viewer, participant));
  return { number: taken.number, width: taken.width, ssim: likeness(taken) };
}

/** Checks two pictures, a moment apart, of one screen at each of several. */
async function assertSharp(viewers: readonly Person[], owner: Person): Promise<void> {
  const before = new Map<Person, number>();
  for (const round of [1, 2]) {
    for (const viewer of viewers) {
      const { number, width, ssim } = await look(viewer, owner);
      tell(`${viewer.name} sees picture ${number} of ${owner.name}, ${width} wide: SSIM ${ssim.toFixed(4)}`);
      assertEqual(width, 1280, `width of the screen of ${owner.name} at ${viewer.name}`);
      assert(ssim >= sharp, `the screen of ${owner.name} at ${viewer.name}: SSIM ${ssim}`);
      assert(round === 1 || number !== before.get(viewer), `the screen of ${owner.name} moves at ${viewer.name}`);
      before.set(viewer, number);
    }
  }
}

function assertSharpAtOnce(what: string, { firstAfterMs, pictures, first, last }: Followed): void {
  const [at, later] = [likeness(first), likeness(last)];
  tell(`${what}: the first picture after ${firstAfterMs} ms with SSIM ${at.toFixed(4)}; ${pictures} within ${withinMs} ms, the last with ${later.toFixed(4)}`);
  assert(firstAfterMs < firstWithinMs, `${what}: the first picture after ${firstAfterMs} ms`);
  assert(later >= sharp, `${what}: SSIM ${later}`);
}

/** Tells a page that it is in the background, or in front again, as a browser does when tabs are changed. */
const setVisible = (person: Person, visible: boolean): Promise<void> =>
  person.page.evaluate((state) => {
    Object.defineProperty(document, 'visibilityState', { value: state, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }, visible ? 'visible' : 'hidden');

/** Packets of video that a page has received. */
const videoPackets = (person: Person): Promise<number> =>
  person.page.evaluate(async () => {
    let packets = 0;
    for (const connection of globalThis.e2e.connections) {
      for (const report of (await connection.getStats()).values() as Iterable<{ type: string; kind?: string; packetsReceived?: number }>) {
        if (report.type === 'inbound-rtp' && report.kind === 'video') packets += report.packetsReceived ?? 0;
      }
    }
    return packets;
  });

test('screens: moving text is sharp for all, at once for who comes late or back, and several have sound', async (scene) => {
  const server = await scene.ownServer(['--mesh-max', '0']);
  const options = { camera: false, server, init: installBoard };
  const people = (await scene.inRoom(['Ada', 'Grace', 'Alan', 'Edsger'], options)) as [Person, Person, Person, Person];
  const [ada, grace, alan, edsger] = people;
  const barbara = await scene.person('Barbara', options);
  const id = await ada.id();

  await ada.press('share-toggle', true);
  await pass(5);
  await assertSharp([grace, alan, edsger], ada);

  const late = followScreen(barbara, id, withinMs);
  await barbara.join({ camera: false });
  assertSharpAtOnce('Barbara, who comes late', await late);

  await setVisible(grace, false);
  await until('Grace, who sees nothing, is sent nothing', async () => {
    const before = await videoPackets(grace);
    await pass(0.5);
    return (await videoPackets(grace)) === before;
  });
  const hiddenAt = (await look(barbara, ada)).number;
  const back = followScreen(grace, id, withinMs);
  await setVisible(grace, true);
  const followed = await back;
  assertSharpAtOnce('Grace, who comes back', followed);
  assert((followed.first?.number ?? 0) >= hiddenAt, `the first picture is one of now: ${followed.first?.number}, not before ${hiddenAt}`);

  await alan.press('share-toggle', true);
  await until('Grace has the screen of Alan', async () => takeScreen(grace, await alan.id()), { seconds: 20 });
  await pass(2);
  await assertSharp([grace, edsger, barbara], ada);
  await assertSharp([grace, edsger, barbara], alan);
  for (const owner of [ada, alan]) {
    const participant = await owner.id();
    const energy = (): Promise<number> => grace.page.evaluate(audioEnergyOf, { participant, source: 'screen-audio' });
    const before = await energy();
    await until(`Grace hears the screen of ${owner.name}`, async () => (await energy()) > before);
  }
  await ada.press('share-toggle', false);
  await untilEqual('screens that Grace sees', () => grace.tiles('screen').count(), 1);
  await assertSharp([grace], alan);
}, { limit: 120 });

/** Bits a second that a page receives of a picture, over two seconds. */
async function rateOf(viewer: Person, owner: Person, source: Source): Promise<number> {
  const of = { participant: await owner.id(), source };
  const bytes = async (): Promise<number> => (await viewer.page.evaluate(receivedOf, of))?.bytes ?? 0;
  const before = await bytes();
  await pass(2);
  return Math.round(((await bytes()) - before) * 4);
}

const watchScreen = async (viewer: Person, owner: Person, seconds: number): Promise<Watched> =>
  viewer.page.evaluate(watchTile, { participant: await owner.id(), source: 'screen', forMs: seconds * 1000 });

/** A machine that is said to be good enough for AV1, so that screens are sent in it. Runs in the page, so it is complete in itself. */
function encodesAV1(): void {
  const { mediaCapabilities } = navigator;
  const ask = mediaCapabilities?.encodingInfo.bind(mediaCapabilities);
  if (ask) mediaCapabilities.encodingInfo = async (options) => ({ ...(await ask(options)), powerEfficient: true });
}

test('screens: on a narrow path a screen stays as large and as sharp', async (scene) => {
  const server = await scene.ownServer(['--mesh-max', '0', '--public-ip', linkHost]);
  const link = await UdpLink.start(Number(new URL(server.url).port));
  scene.onEnd(async () => link.close());
  const [ada, grace, alan] = (await scene.inRoom(['Ada', 'Grace', 'Alan'], { server, init: [announcedOnly, installBoard, encodesAV1] })) as [Person, Person, Person];
  await Promise.all([grace.sees(ada), grace.sees(alan)]);
  await ada.press('share-toggle', true);
  const participant = await ada.id();
  await until('Grace has the screen of Ada', () => takeScreen(grace, participant), { seconds: 20 });
  assertEqual((await grace.page.evaluate(receivedOf, { participant, source: 'screen' }))?.codec, 'video/AV1', 'codec of the screen');
  await pass(4);

  link.set(await until('the path of Grace', () => grace.page.evaluate(seenAt)), { kbps: 500 });
  const [poor, good] = await Promise.all([watchScreen(grace, ada, 10), watchScreen(alan, ada, 10)]);
  const [screen, camera] = await Promise.all([rateOf(grace, ada, 'screen'), rateOf(grace, alan, 'camera')]);
  const { number, width, ssim } = await look(grace, ada);
  const behind = ((await look(alan, ada)).number - number) & 0xfff;
  tell(`at 500 kbit/s: ${poor.frames} pictures in 10 s, of ${good.frames}; longest gap ${poor.gaps[0]} ms; ${behind} pictures behind; SSIM ${ssim.toFixed(4)}; ${screen} bit/s beside ${camera} of a camera`);
  assertEqual(width, 1280, 'width of the screen on the narrow path');
  assert(ssim >= sharp, `the screen on the narrow path: SSIM ${ssim}`);
  assert((good.gaps[0] ?? 0) < 1000, `Alan, whose path is good, had a gap of ${good.gaps[0]} ms`);
  assert((poor.gaps[0] ?? 0) < 2000, `the screen stood still for ${poor.gaps[0]} ms on the narrow path`);
  assert(camera < screen, `the camera gives way before the screen: ${camera} bit/s beside ${screen}`);
  await until('the screen moves on the narrow path', async () => (((await look(grace, ada)).number - number) & 0xfff) >= 20, { seconds: 10, everyMs: 500 });
  assert((await look(grace, ada)).ssim >= sharp, 'the screen is sharp as it moves');
}, { limit: 120 });

test('screens: in AV1 until somebody comes who cannot decode it', async (scene) => {
  const server = await scene.ownServer(['--mesh-max', '0']);
  const options = { server, camera: false };
  const [ada, grace] = (await scene.inRoom(['Ada', 'Grace'], { ...options, init: [installBoard, encodesAV1] })) as [Person, Person];
  const participant = await ada.id();
  const codecAt = async (viewer: Person): Promise<string | undefined> => (await viewer.page.evaluate(receivedOf, { participant, source: 'screen' }))?.codec;
  await ada.press('share-toggle', true);
  await until('Grace has the screen', () => takeScreen(grace, participant), { seconds: 20 });
  await untilEqual('codec at Grace', () => codecAt(grace), 'video/AV1');

  const watched = watchScreen(grace, ada, 8);
  const [dorothy] = (await scene.inRoom(['Dorothy'], { ...options, init: [installBoard, withoutAV1] })) as [Person];
  await untilEqual('codec at Dorothy', () => codecAt(dorothy), 'video/VP9', { seconds: 20 });
  await untilEqual('codec at Grace', () => codecAt(grace), 'video/VP9');
  const { frames, gaps } = await watched;
  tell(`Grace saw ${frames} pictures in 8 s, longest gap ${gaps[0]} ms`);
  assert((gaps[0] ?? 0) < 3000, `Grace saw nothing new for ${gaps[0]} ms`);
  await assertSharp([grace, dorothy], ada);
  assertEqual(await grace.tiles('screen').count(), 1, 'screens that Grace sees');
}, { limit: 90 });
