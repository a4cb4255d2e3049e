// Bundles the client as an application would and fails when what is loaded at once is larger than its budget.
import { build } from 'esbuild';
import { gzipSync } from 'node:zlib';

const budget = 14 * 1024;

const result = await build({
  entryPoints: ['src/client/index.ts'],
  bundle: true,
  splitting: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  outdir: 'out',
  write: false,
  metafile: true,
});
const outputs = Object.entries(result.metafile.outputs);
const [entry] = outputs.find(([, o]) => o.entryPoint === 'src/client/index.ts');
// The entry and what it imports statically; dynamic imports come when they are needed.
const eager = new Set([entry]);
for (const name of eager) {
  for (const { path, kind } of result.metafile.outputs[name].imports) if (kind === 'import-statement') eager.add(path);
}
let total = 0;
for (const [name, output] of outputs) {
  const file = result.outputFiles.find((f) => f.path.endsWith(`/${name}`));
  const size = gzipSync(file.contents, { level: 9 }).length;
  if (eager.has(name)) total += size;
  console.log(`${String(size).padStart(6)} ${name}${eager.has(name) ? '' : ' (later)'}`);
  if (!process.argv.includes('--parts')) continue;
  for (const [input, { bytesInOutput }] of Object.entries(output.inputs)) console.log(`         ${String(bytesInOutput).padStart(6)} ${input}`);
}
console.log(`client: ${total} of ${budget} bytes gzipped`);
if (total > budget) process.exit(1);
