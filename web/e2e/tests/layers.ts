import type { Page } from 'playwright-core';
import { receivedOf, sentOf } from '../harness/media';
import { untilMoving, type Person } from '../harness/person';
import { installProbe } from '../harness/probe';
import { studioOf } from '../harness/studio';
import { test } from '../harness/suite';
import { assertEqual, until, untilEqual } from '../harness/until';

const tell = (line: string): void => void process.stdout.write(`      ${line}\n`);

/** Width of a participant's camera as it is received. */
const widthOf = async (viewer: Person, participant: string): Promise<number> =>
  (await viewer.page.evaluate(receivedOf, { participant, source: 'camera' }))?.width ?? 0;

/** The layers of the camera that a page encodes at present, in the order of their names. */
const sends = async (person: Person): Promise<string[]> =>
  (await person.page.evaluate(sentOf)).filter(({ active, fps }) => active && fps > 0).map(({ rid, width }) => `${rid} ${width}`);

/** Makes a participant's tile the large one. */
async function pin(viewer: Person, participant: string): Promise<void> {
  const tile = viewer.tile(participant);
  await tile.hover();
  await tile.getByTestId('pin').click();
  await untilEqual('role of the tile that was pinned', () => tile.getAttribute('data-role'), 'main');
}

/** Waits until a participant's camera comes in that width, and says how long that took. */
async function untilWide(viewer: Person, name: string, participant: string, width: number): Promise<void> {
  const begin = Date.now();
  await untilEqual(`width of ${name} at ${viewer.name}`, () => widthOf(viewer, participant), width, { seconds: 30, everyMs: 50 });
  tell(`${viewer.name} sees ${name} ${width} wide after ${Date.now() - begin} ms`);
}

/** Waits until the statistics say this of what is received. */
const untilSaid = (viewer: Person, what: RegExp): Promise<unknown> =>
  until(`the statistics say ${String(what)}`, async () => what.test((await viewer.find('stats').textContent()) ?? ''));

/** A camera of 640 x 360. Runs in the page, so it is complete in itself. */
function smallCamera(): void {
  const devices = navigator.mediaDevices as MediaDevices | undefined;
  const open = devices?.getUserMedia.bind(devices);
  if (devices && open) devices.getUserMedia = (options) => open(options?.video ? { ...options, video: { width: 640, height: 360 } } : options);
}

test('layers: what is encoded and sent of a camera follows the size of its tiles', async (scene) => {
  const server = await scene.ownServer(['--mesh-max', '0']);
  const [ada, grace] = (await scene.inRoom(['Ada', 'Grace'], { server })) as [Person, Person];
  const [alan] = (await scene.inRoom(['Alan'], { server, init: smallCamera })) as [Person];
  const sees = async (viewer: Person, other: Person, width: number): Promise<void> => untilWide(viewer, other.name, await other.id(), width);

  // A grid: tiles of 600 pixels.
  await Promise.all([sees(grace, ada, 640), sees(alan, ada, 640)]);
  await untilEqual('what Ada sends to tiles of 600 pixels', () => sends(ada), ['h 640', 'q 320'], { seconds: 15 });

  // The largest layer comes as soon as one person wants it, to that one alone.
  await pin(grace, await ada.id());
  await sees(grace, ada, 1280);
  assertEqual(await widthOf(alan, await ada.id()), 640, 'width of Ada in a tile of 600 pixels');
  await untilEqual('what Ada sends to one large tile', () => sends(ada), ['f 1280', 'h 640', 'q 320'], { seconds: 5 });
  await sees(grace, alan, 320);

  // And it goes when nobody does, 2 s later, with the next largest one.
  await pin(grace, await alan.id());
  await sees(grace, ada, 320);
  await pin(alan, await grace.id());
  await sees(alan, ada, 320);
  await untilEqual('what Ada sends to small tiles', () => sends(ada), ['q 320'], { seconds: 10 });

  // Of a camera of 640 pixels the whole is the second layer of two.
  await sees(grace, alan, 640);
  await untilEqual('what Alan sends', () => sends(alan), ['h 640', 'q 320']);
  await grace.page.keyboard.press('i');
  await untilSaid(grace, /layer 2\/2.*This is all that Alan sends/);
  assertEqual(await grace.tile(await alan.id()).getByTestId('quality-badge').count(), 0, 'badges that miss something of Alan');

  await pin(grace, await ada.id());
  await sees(grace, ada, 1280);
}, { limit: 120 });

/** Publishes the fake camera by WHIP, as one stream of three sizes and three frame rates (W3C WebRTC SVC section 6). Resolves with where it can be ended. */
function publishSVC(page: Page, url: string, token: string, codec: string): Promise<string> {
  return page.evaluate(async ({ url, token, codec }) => {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 1280, height: 720 } });
    const [track] = stream.getVideoTracks();
    if (!track) throw new Error('no camera');
    const connection = new RTCPeerConnection();
    // `scalabilityMode` is not in TypeScript's library.
    const sendEncodings = [{ maxBitrate: 1_500_000, scalabilityMode: 'L3T3_KEY' } as RTCRtpEncodingParameters];
    const transceiver = connection.addTransceiver(track, { direction: 'sendonly', streams: [stream], sendEncodings });
    const codecs = RTCRtpReceiver.getCapabilities('video')?.codecs ?? [];
    transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => mimeType === codec));
    await connection.setLocalDescription();
    await new Promise<void>((resolve) => {
      const look = (): void => { if (connection.iceGatheringState === 'complete') resolve(); };
      connection.addEventListener('icegatheringstatechange', look);
      look();
    });
    const answer = await fetch(url, {
      method: 'POST', body: connection.localDescription?.sdp, headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/sdp' },
    });
    if (answer.status !== 201) throw new Error(`WHIP says ${answer.status}: ${await answer.text()}`);
    await connection.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
    return new URL(answer.headers.get('Location') ?? '', url).href;
  }, { url, token, codec });
}

test('layers: of one stream with layers in it each gets those that its tile needs', async (scene) => {
  const [grace, alan] = (await scene.inRoom(['Grace', 'Alan'], { camera: false })) as [Person, Person];
  for (const [name, codec] of [['Vera', 'video/VP9'], ['Aurora', 'video/AV1']] as const) {
    const context = await scene.browser.newContext();
    await context.addInitScript(installProbe);
    const studio = await context.newPage();
    await studio.goto(await studioOf(scene));
    const token = await scene.server.token(['--user', name, '--name', name, '--rooms', scene.room]);
    const resource = await publishSVC(studio, `${scene.server.url}/whip/${scene.room}`, token, codec);
    const other = grace.tiles().filter({ hasText: name });
    const participant = await until(`${name} has a tile`, () => other.getAttribute('data-participant'));

    await pin(grace, participant);
    await untilWide(grace, name, participant, 1280);
    await pin(alan, await grace.id());
    await untilWide(alan, name, participant, 320);
    assertEqual((await grace.page.evaluate(receivedOf, { participant, source: 'camera' }))?.codec, codec, 'codec');
    if ((await grace.find('stats').count()) === 0) await grace.page.keyboard.press('i');
    await untilSaid(grace, /layer 3\/3 T3\/3/);

    await pin(grace, await alan.id());
    await untilWide(grace, name, participant, 320);
    await untilSaid(grace, /layer 1\/3 T3\/3/);
    await pin(alan, participant);
    await untilWide(alan, name, participant, 1280);
    await untilMoving(`Grace sees ${name}`, () => grace.reception(participant), { frames: 20 });
    assertEqual((await fetch(resource, { method: 'DELETE', headers: { Authorization: `Bearer ${token}` } })).ok, true, 'whether it ends when it is told to');
    await context.close();
    await untilEqual(`tiles of ${name}`, () => other.count(), 0);
  }
}, { limit: 150 });
