import { followScreen, installBoard, likeness, takeScreen, type Followed } from '../harness/board';
import { audioEnergyOf } from '../harness/media';
import type { Person } from '../harness/person';
import { test } from '../harness/suite';
import { assert, assertEqual, pass, until, untilEqual } from '../harness/until';

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
