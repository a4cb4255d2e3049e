// Bundles the client as an application would and fails when it is larger than its budget.
import { build } from 'esbuild';
import { gzipSync } from 'node:zlib';

const budget = 14 * 1024;

const result = await build({
  entryPoints: ['src/client/index.ts'],
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  write: false,
  metafile: true,
});
const [file] = result.outputFiles;
const size = gzipSync(file.contents, { level: 9 }).length;
if (process.argv.includes('--parts')) {
  const [output] = Object.values(result.metafile.outputs);
  for (const [name, { bytesInOutput }] of Object.entries(output.inputs)) console.log(String(bytesInOutput).padStart(7), name);
}
console.log(`client: ${size} of ${budget} bytes gzipped (${file.contents.length} minified)`);
if (size > budget) process.exit(1);
