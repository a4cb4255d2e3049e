import { build } from 'esbuild';
import type { Page } from 'playwright-core';
import { audioEnergyOf, receptionOf } from '../harness/media';
import { untilMoving, watchPage, type Person } from '../harness/person';
import { installProbe } from '../harness/probe';
import type { Scene } from '../harness/scene';
import { studioOf } from '../harness/studio';
import { test } from '../harness/suite';
import { assertEqual, until, untilEqual } from '../harness/until';

/** What `whip-whep` puts into a page: the client of the author of both specifications. */
interface Client {
  readonly etag: string | null;
  publish(connection: RTCPeerConnection, url: string, token: string): Promise<void>;
  view(connection: RTCPeerConnection, url: string, token: string): Promise<void>;
  restart(): Promise<void>;
  stop(): Promise<void>;
}

declare global {
  var whipWhep: { WHIPClient: new () => Client; WHEPClient: new () => Client };
  var client: Client;
}

let bundled: Promise<string> | undefined;

/** The client as a script. Its 1.2.0 puts commas between the candidates of a restart, which no browser reads; both classes do. */
function script(): Promise<string> {
  bundled ??= build({
    stdin: { contents: `export * from 'whip-whep/whip.js'; export * from 'whip-whep/whep.js';`, resolveDir: process.cwd() },
    bundle: true, write: false, format: 'iife', globalName: 'whipWhep', logLevel: 'warning',
  }).then(({ outputFiles }) => {
    const text = outputFiles[0]?.text ?? '';
    const comma = /(candidates\d*)\.join\(\)/g;
    assertEqual(text.match(comma)?.length, 2, 'places where the client joins candidates');
    return `${text.replaceAll(comma, "$1.join('')")}; globalThis.whipWhep = whipWhep;`;
  });
  return bundled;
}

/** A page that is no part of the app, on another origin than the server. */
async function studio(scene: Scene, name: string): Promise<Page> {
  const context = await scene.browser.newContext();
  scene.onEnd(() => context.close());
  await context.addInitScript(installProbe);
  const page = await context.newPage();
  watchPage(page, name, scene.server.url);
  await page.goto(await studioOf(scene));
  await page.evaluate(await script());
  return page;
}

const token = (scene: Scene, user: string): Promise<string> => scene.server.token(['--user', user, '--name', user, '--rooms', scene.room]);

/** Publishes the fake microphone, and the fake camera in two layers. */
function publish(page: Page, url: string, bearer: string): Promise<void> {
  return page.evaluate(async ({ url, bearer }) => {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 360 } });
    const connection = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    for (const track of stream.getTracks()) {
      const sendEncodings = track.kind === 'video' ? [{ rid: 'h', scaleResolutionDownBy: 2 }, { rid: 'f' }] : [];
      connection.addTransceiver(track, { direction: 'sendonly', streams: [stream], sendEncodings });
    }
    globalThis.client = new globalThis.whipWhep.WHIPClient();
    await globalThis.client.publish(connection, url, bearer);
  }, { url, bearer });
}

/** Plays a participant in what `receptionOf` and `audioEnergyOf` take for a tile. */
function play(page: Page, url: string, bearer: string, participant: string): Promise<void> {
  return page.evaluate(async ({ url, bearer, participant }) => {
    const connection = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    connection.addTransceiver('audio', { direction: 'recvonly' });
    connection.addTransceiver('video', { direction: 'recvonly' });
    const tile = document.body.appendChild(document.createElement('div'));
    Object.assign(tile.dataset, { testid: 'tile', participant, source: 'camera' });
    connection.addEventListener('track', ({ track, streams }) => {
      const element = track.kind === 'video' ? tile.appendChild(document.createElement('video')) : document.body.appendChild(document.createElement('audio'));
      element.dataset.participant = participant;
      element.srcObject = streams[0] ?? null;
      void element.play();
    });
    globalThis.client = new globalThis.whipWhep.WHEPClient();
    await globalThis.client.view(connection, url, bearer);
  }, { url, bearer, participant });
}

/** Restarts ICE and waits until the new pair carries the connection. */
async function restart(page: Page): Promise<void> {
  const etag = await page.evaluate(() => globalThis.client.etag);
  await page.evaluate(() => globalThis.client.restart());
  const now = await page.evaluate(() => globalThis.client.etag);
  if (!now || now === etag) throw new Error(`the ETag after the restart is ${now}, and was ${etag}`);
}

/** The layers that a publisher sends: their names, of those that have brought frames. */
const layers = (page: Page): Promise<string[]> =>
  page.evaluate(async () => {
    const names: string[] = [];
    for (const connection of globalThis.e2e.connections) {
      for (const report of (await connection.getStats()).values() as Iterable<{ type: string; rid?: string; framesSent?: number }>) {
        if (report.type === 'outbound-rtp' && report.rid && report.framesSent) names.push(report.rid);
      }
    }
    return names.sort();
  });

const ufrags = (page: Page): Promise<readonly (string | undefined)[]> =>
  page.evaluate(() => globalThis.e2e.connections.map((one) => /a=ice-ufrag:(\S+)/.exec(one.remoteDescription?.sdp ?? '')?.[1]));

test('whip: a browser publishes and another plays, with a client that is not ours', async (scene) => {
  const [ada] = (await scene.inRoom(['Ada'], { camera: false })) as [Person];
  const encoder = await studio(scene, 'encoder');
  await publish(encoder, `${scene.server.url}/whip/${scene.room}`, await token(scene, 'Studio'));
  await ada.open('people');
  await untilEqual('those in the room', () => ada.people(), ['Ada', 'Studio']);
  const other = ada.page.locator('[data-testid="tile"]:not([data-self="true"])').first();
  const participant = await until('the encoder has a tile', () => other.getAttribute('data-participant'));

  const player = await studio(scene, 'player');
  await play(player, `${scene.server.url}/whep/${scene.room}/${participant}`, await token(scene, 'Viewer'), participant);
  const reception = () => player.evaluate(receptionOf, { participant, source: 'camera' });
  const energy = () => player.evaluate(audioEnergyOf, participant);
  const plays = async (): Promise<void> => {
    await untilMoving('the player shows the encoder\'s camera', reception, { seconds: 25 });
    const before = await energy();
    await until('the player plays the encoder\'s microphone', async () => (await energy()) > before, { seconds: 15 });
  };
  await plays();
  await Promise.all([
    untilMoving('Ada sees the encoder\'s camera', () => ada.reception(participant), { seconds: 25 }),
    until('Ada hears the encoder', async () => (await ada.page.evaluate(audioEnergyOf, participant)) > 0, { seconds: 15 }),
  ]);
  await untilEqual('layers that the encoder sends', () => layers(encoder), ['f', 'h'], { seconds: 20 });
  assertEqual(await ada.people(), ['Ada', 'Studio'], 'those in the room while somebody watches');

  for (const page of [encoder, player]) {
    const before = await ufrags(page);
    await restart(page);
    await until('the server has other ICE credentials', async () => (await ufrags(page))[0] !== before[0]);
  }
  await plays();

  await player.evaluate(() => globalThis.client.stop());
  await encoder.evaluate(() => globalThis.client.stop());
  await untilEqual('those in the room', () => ada.people(), ['Ada']);
}, { limit: 120 });
