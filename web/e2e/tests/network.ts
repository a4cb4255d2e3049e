import { announcedOnly } from '../harness/network';
import type { Person } from '../harness/person';
import type { Scene } from '../harness/scene';
import { test } from '../harness/suite';
import { linkHost, UdpLink, type Conditions } from '../harness/udp-link';
import { assert, pass, until } from '../harness/until';
import { seenAt, watchTile, type Watched } from '../harness/watch';

interface Trial {
  readonly people: [Person, Person, Person];
  /** Sets what Grace's network does. */
  readonly set: (conditions: Conditions) => void;
}

/** Ada sends; Grace has a network that can be spoilt, Alan a good one. All media goes through the SFU. */
async function trial(scene: Scene): Promise<Trial> {
  const server = await scene.ownServer(['--mesh-max', '0', '--public-ip', linkHost]);
  const link = await UdpLink.start(Number(new URL(server.url).port));
  scene.onEnd(async () => link.close());
  const people = (await scene.inRoom(['Ada', 'Grace', 'Alan'], { server, init: announcedOnly })) as [Person, Person, Person];
  const [ada, grace, alan] = people;
  await Promise.all([grace.sees(ada), alan.sees(ada), grace.hears(ada)]);
  const port = await until('the path of Grace', () => grace.page.evaluate(seenAt));
  return { people, set: (conditions) => link.set(port, conditions) };
}

async function watch(viewer: Person, other: Person, seconds: number): Promise<Watched> {
  return viewer.page.evaluate(watchTile, { participant: await other.id(), source: 'camera', forMs: seconds * 1000 });
}

/** A line of the table of figures. */
function tell(name: string, who: string, { frames, gaps, recoveredAt, width, concealed }: Watched): void {
  const freezes = gaps.filter((gap) => gap > 500);
  process.stdout.write(
    `      ${name}, ${who}: ${frames} frames, longest gap ${gaps[0] ?? 0} ms, ${freezes.length} freezes over 500 ms` +
      `${recoveredAt === null ? '' : `, flowing again after ${recoveredAt} ms`}, ${width} wide, ${(concealed * 100).toFixed(1)} % of the sound concealed\n`,
  );
}

/** Runs conditions on Grace's path while she and Alan watch Ada, and checks that Alan notices nothing. */
async function endure(scene: Scene, name: string, seconds: number, run: (trial: Trial) => Promise<void>): Promise<Watched> {
  const stage = await trial(scene);
  const [ada, grace, alan] = stage.people;
  const [poor, good] = await Promise.all([watch(grace, ada, seconds), watch(alan, ada, seconds), run(stage)]);
  tell(name, 'Grace', poor);
  tell(name, 'Alan', good);
  assert((good.gaps[0] ?? 0) < 1000, `Alan, whose network is good, had a gap of ${good.gaps[0]} ms`);
  assert(poor.frames > seconds, `Grace saw ${poor.frames} frames in ${seconds} s`);
  // Whatever it was, it ends well.
  stage.set({});
  await Promise.all([grace.sees(ada), grace.hears(ada), ada.sees(grace)]);
  return poor;
}

const longest = ({ gaps }: Watched): number => gaps[0] ?? 0;

test('network: five percent of loss freeze no picture', async (scene) => {
  const seen = await endure(scene, '5 % loss', 15, async ({ set }) => set({ loss: 0.05 }));
  assert(longest(seen) < 2000, `a freeze of ${longest(seen)} ms`);
}, { limit: 90 });

test('network: a long way with jitter freezes no picture', async (scene) => {
  const seen = await endure(scene, '200 ms round trip, 50 ms jitter', 15, async ({ set }) => set({ delayMs: 75, jitterMs: 50 }));
  assert(longest(seen) < 2000, `a freeze of ${longest(seen)} ms`);
}, { limit: 90 });

test('network: a path that narrows to 500 kbit/s and widens again goes on showing a picture', async (scene) => {
  const seen = await endure(scene, '4 Mbit/s, 500 kbit/s, 4 Mbit/s', 30, async ({ set }) => {
    set({ kbps: 4000 });
    await pass(8);
    set({ kbps: 500 });
    await pass(10);
    set({ kbps: 4000 });
  });
  assert(longest(seen) < 2000, `a freeze of ${longest(seen)} ms`);
}, { limit: 120 });

test('network: an outage of two seconds ends when the network is back', async (scene) => {
  const seen = await endure(scene, 'outage of 2 s', 15, async ({ set }) => {
    await pass(4);
    set({ cut: true });
    await pass(2);
    set({});
  });
  assert(longest(seen) < 4000, `a freeze of ${longest(seen)} ms, of which 2000 are the outage`);
}, { limit: 90 });
