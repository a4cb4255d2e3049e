import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Person } from '../harness/person';
import { test } from '../harness/suite';
import { assert, assertEqual, untilEqual } from '../harness/until';

const run = promisify(execFile);

interface Track {
  readonly file?: string;
  readonly name: string;
  readonly source: string;
  readonly frames: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly lost?: number;
}

interface Manifest {
  readonly id: string;
  readonly reason?: string;
  readonly tracks: readonly Track[];
}

/** What the API has for this person, by the token that the app keeps. */
async function download(person: Person, path: string): Promise<Response> {
  const kept = await person.page.evaluate((key) => localStorage.getItem(key), `confab:guest:${person.room}`);
  const { token } = JSON.parse(kept ?? '{}') as { token: string };
  const response = await fetch(`${person.url}/api/v1/recordings${path}`, { headers: { authorization: `Bearer ${token}` } });
  assertEqual(response.status, 200, `status of ${path}`);
  return response;
}

/** How many frames a decoder finds in a file; its complaints are failures. */
async function framesIn(folder: string, file: string, content: ArrayBuffer): Promise<number> {
  const path = join(folder, file);
  await writeFile(path, new Uint8Array(content));
  const { stdout, stderr } = await run('ffprobe', ['-v', 'error', '-count_frames', '-show_entries', 'stream=nb_read_frames', '-of', 'csv=p=0', path]);
  assertEqual(stderr, '', `complaints about ${file}`);
  return Number.parseInt(stdout, 10);
}

test('recording: a call of two goes through the server meanwhile, and every track can be played', async (scene) => {
  const [ada, grace] = (await scene.inRoom(['Ada', 'Grace'])) as [Person, Person];
  await Promise.all([ada.sees(grace), grace.sees(ada)]);
  await Promise.all([ada.open('chat'), grace.open('chat')]);
  await ada.find('more-menu').click();
  await ada.find('record').click();
  await ada.find('record-confirm').click();
  await Promise.all([ada.find('recording').waitFor(), grace.find('recording').waitFor()]);
  await ada.press('share-toggle', true);
  await grace.sees(ada, { source: 'screen', seconds: 30 });
  await Promise.all([ada.sees(grace, { frames: 60, seconds: 30 }), grace.sees(ada, { frames: 60, seconds: 30 }), grace.hears(ada)]);
  await ada.write('for the minutes');
  await grace.reads('for the minutes');
  await ada.find('more-menu').click();
  await ada.find('record-stop').click();
  await untilEqual('signs of a recording', () => grace.find('recording').count(), 0, { seconds: 20 });

  const { recordings } = await (await download(ada, `?room=${ada.room}`)).json() as { recordings: Manifest[] };
  const { id } = recordings[0] ?? { id: 'none' };
  const manifest = await (await download(ada, `/${id}`)).json() as Manifest;
  assertEqual(manifest.reason, 'stopped', 'reason');
  const folder = await mkdtemp(join(tmpdir(), 'confab-recording-'));
  try {
    for (const { file, name, frames, startMs, endMs } of manifest.tracks.filter((track) => track.file !== undefined)) {
      const found = await framesIn(folder, file ?? '', await (await download(ada, `/${id}/${file ?? ''}`)).arrayBuffer());
      assertEqual(found, frames, `frames of ${file ?? ''}`);
      assert(endMs > startMs && name !== '', `${file ?? ''} is from ${startMs} to ${endMs} of "${name}"`);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
  const sources = manifest.tracks.filter((track) => track.frames > 20).map(({ name, source }) => `${name} ${source}`);
  for (const wanted of ['Ada camera', 'Ada microphone', 'Ada screen', 'Grace camera', 'Grace microphone']) {
    assert(sources.includes(wanted), `${wanted} is not among ${sources.join(', ')}`);
  }
  const chat = await (await download(ada, `/${id}/chat.jsonl`)).text();
  assert(chat.includes('for the minutes'), chat);
}, { limit: 150 });
