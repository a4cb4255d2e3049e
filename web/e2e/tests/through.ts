import { audioEnergyOf, openConnections } from '../harness/media';
import { ownAddresses, relayOnly, tcpOnly, waysInUse, type Way } from '../harness/network';
import { untilMoving, type Person } from '../harness/person';
import type { Scene } from '../harness/scene';
import { test } from '../harness/suite';
import { assert, until } from '../harness/until';
import { watchTile, type Watched } from '../harness/watch';

/** Two people whose pages know no other way than `network` leaves. */
async function two(scene: Scene, flags: readonly string[], network: () => void): Promise<[Person, Person]> {
  const server = await scene.ownServer(flags);
  return (await scene.inRoom(['Ada', 'Grace'], { server, init: network })) as [Person, Person];
}

const seeAndHear = ([one, other]: readonly [Person, Person]): Promise<unknown> =>
  Promise.all([one.sees(other, { seconds: 40 }), other.sees(one, { seconds: 40 }), one.hears(other, { seconds: 40 }), other.hears(one, { seconds: 40 })]);

async function wantWays(people: readonly Person[], good: (way: Way) => boolean): Promise<void> {
  for (const person of people) {
    const ways = await person.page.evaluate(waysInUse);
    process.stdout.write(`      ${person.name}: ${JSON.stringify(ways)}\n`);
    assert(ways.length > 0 && ways.every(good), `${person.name} sends as they should`);
  }
}

const relays = ['--turn', 'on', '--turn-port', '0'];

test('through: two who can only relay have a call from browser to browser', async (scene) => {
  const people = await two(scene, [...relays, '--sfu', 'off'], relayOnly);
  await seeAndHear(people);
  await wantWays(people, ({ local, remote }) => local === 'relay' && remote === 'relay');
}, { limit: 120 });

test('through: two who can only relay have a call through the SFU', async (scene) => {
  const people = await two(scene, [...relays, '--mesh-max', '0'], relayOnly);
  await seeAndHear(people);
  await wantWays(people, ({ local }) => local === 'relay');
}, { limit: 120 });

for (const [way, flags] of [['from browser to browser', ['--sfu', 'off']], ['through the SFU', ['--mesh-max', '0']]] as const) {
  test(`through: a relayed call ${way} outlives its credentials`, async (scene) => {
    const seconds = 10;
    const people = await two(scene, [...relays, ...flags, '--turn-ttl', `${seconds}s`], relayOnly);
    await seeAndHear(people);
    const [ada, grace] = people;
    const before = await Promise.all(people.map((person) => person.page.evaluate(openConnections)));
    const watch = async (viewer: Person, other: Person): Promise<Watched> =>
      viewer.page.evaluate(watchTile, { participant: await other.id(), source: 'camera', forMs: 3 * seconds * 1000 });
    const seen = await Promise.all([watch(ada, grace), watch(grace, ada)]);
    for (const { frames, gaps, concealed } of seen) {
      process.stdout.write(`      ${frames} frames, longest gaps ${gaps.slice(0, 3).join(', ')} ms, ${(concealed * 100).toFixed(1)} % of the sound concealed\n`);
    }
    for (const { gaps } of seen) assert((gaps[0] ?? Infinity) < 500, `no gap of ${gaps[0]} ms`);
    assert(JSON.stringify(await Promise.all(people.map((person) => person.page.evaluate(openConnections)))) === JSON.stringify(before), 'the connections are those of before');
    await wantWays(people, ({ local }) => local === 'relay');
  }, { limit: 120 });
}

test('through: two without UDP have a call through the SFU, by the port of the page', async (scene) => {
  const people = await two(scene, ['--mesh-max', '0'], tcpOnly);
  await seeAndHear(people);
  await wantWays(people, ({ protocol }) => protocol === 'tcp');
}, { limit: 120 });

test('through: where UDP works it is what media takes', async (scene) => {
  const people = (await scene.inRoom(['Ada', 'Grace'], { server: await scene.ownServer([...relays, '--mesh-max', '0']) })) as [Person, Person];
  await seeAndHear(people);
  const direct = (ways: Way[]): boolean => ways.length > 0 && ways.every(({ protocol, local }) => protocol === 'udp' && local !== 'relay');
  for (const person of people) await until(`${person.name} sends by UDP`, async () => direct(await person.page.evaluate(waysInUse)));
}, { limit: 120 });

test('through: a page that tells only names of multicast DNS has a call through the SFU', async (scene) => {
  const server = await scene.ownServer(['--mesh-max', '0']);
  const ada = await scene.person('Ada', { server });
  await ada.join();
  // Chromium tells addresses to pages that may use a camera or a microphone, and names to all others.
  const grace = await scene.person('Grace', { server, devices: 'none' });
  await grace.join({ camera: false });
  const id = await ada.id();
  await untilMoving('Grace sees Ada', () => grace.reception(id), { seconds: 40 });
  await until('Grace hears Ada', async () => (await grace.page.evaluate(audioEnergyOf, id)) > 0, { seconds: 20 });
  const addresses = await grace.page.evaluate(ownAddresses);
  assert(addresses.length > 0 && addresses.every((address) => address.endsWith('.local')), `only names: ${addresses.join(' ')}`);
}, { limit: 120 });
