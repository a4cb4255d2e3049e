// Bundles the tests, which are TypeScript, and runs them: all, or with `npm run e2e -- chat` those with "chat" in their names.
import { build } from 'esbuild';
import { fileURLToPath, pathToFileURL } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
process.setSourceMapsEnabled(true);
const entry = process.argv.includes('--shots') ? 'shots' : 'main';
const outfile = `e2e/out/.build/${entry}.mjs`;
await build({
  entryPoints: [`e2e/${entry}.ts`],
  outfile,
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  packages: 'external',
  // The package says that its modules have no side effects; tests declare themselves by being imported.
  ignoreAnnotations: true,
  sourcemap: 'inline',
  logLevel: 'warning',
});
await import(pathToFileURL(outfile).href);
