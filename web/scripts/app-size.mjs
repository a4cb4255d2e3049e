// Fails when a page of the app has grown over its budget, in gzipped KiB of scripts and styles.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const dist = new URL('../dist/', import.meta.url);
const manifest = JSON.parse(readFileSync(new URL('.vite/manifest.json', dist), 'utf8'));

const budgets = [
  { page: 'landing', limit: 60, entries: ['index.html'] },
  { page: 'room with chat', limit: 140, entries: ['index.html', 'src/app/pages/RoomPage.vue', 'src/app/room/RoomView.vue', 'src/app/i18n/en.json'] },
];

/** All files that `entry` needs before it can run: what is imported on demand is not among them. */
function filesOf(entry, files = new Set(), seen = new Set()) {
  if (seen.has(entry)) return files;
  seen.add(entry);
  const chunk = manifest[entry];
  if (!chunk) throw new Error(`the build has no ${entry}`);
  files.add(chunk.file);
  for (const style of chunk.css ?? []) files.add(style);
  for (const name of chunk.imports ?? []) filesOf(name, files, seen);
  return files;
}

let over = false;
for (const { page, limit, entries } of budgets) {
  const files = new Set(entries.flatMap((entry) => [...filesOf(entry)]));
  const bytes = [...files].reduce((sum, file) => sum + gzipSync(readFileSync(new URL(file, dist)), { level: 9 }).length, 0);
  const size = bytes / 1024;
  over ||= size > limit;
  console.log(`${size > limit ? 'OVER' : 'ok  '} ${page}: ${size.toFixed(1)} of ${limit} KiB in ${files.size} files`);
}
process.exitCode = over ? 1 : 0;
