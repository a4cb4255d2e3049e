import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launchChromium } from './harness/browser';
import { Scene, type Theatre } from './harness/scene';
import { buildServer, Server } from './harness/server';
import { tests, type Test } from './harness/suite';
import './tests/index';

const output = 'e2e/out';
/** Seconds for everything, so that a machine that hangs is noticed. */
const totalLimit = 1000;

/** Tests that wait more than they compute, and measure no gaps in media: so many of them run at a time. */
const calm = ['chat', 'threads', 'bots', 'recovery', 'moderation', 'entry', 'accessibility', 'transport', 'recording'];
const calmAtOnce = 2;

const wanted = process.argv.slice(2);
const chosen = tests.filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)));

const seconds = (since: number): string => `${((Date.now() - since) / 1000).toFixed(1)} s`;
const print = (line: string): void => void process.stdout.write(`${line}\n`);

function limited<T>(limit: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${limit} s`)), limit * 1000);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** Runs one test and resolves with whether it passed. */
async function perform({ name, limit, run }: Test, theatre: Theatre): Promise<boolean> {
  const start = Date.now();
  const scene = new Scene(theatre);
  try {
    await limited(limit, run(scene));
    const misdeeds = await scene.misdeeds();
    if (misdeeds.length > 0) throw new Error(misdeeds.join('\n'));
    print(`ok    ${name} (${seconds(start)})`);
    return true;
  } catch (error) {
    const folder = join(output, name.replace(/\W+/g, '-'));
    await scene.record(folder).catch((failure: unknown) => print(`      no record: ${String(failure)}`));
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    print(`FAIL  ${name} (${seconds(start)})\n      ${text.replaceAll('\n', '\n      ')}\n      see web/${folder}`);
    return false;
  } finally {
    await limited(30, scene.end()).catch((error: unknown) => print(`      not ended: ${String(error)}`));
  }
}

async function main(): Promise<boolean> {
  await rm(output, { recursive: true, force: true }).then(() => mkdir(output, { recursive: true }));
  const folder = await mkdtemp(join(tmpdir(), 'confab-e2e-build-'));
  const ends: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
  try {
    const start = Date.now();
    const binary = await buildServer(folder);
    const server = await Server.start(binary);
    ends.push(() => server.stop());
    const browser = await launchChromium('fake');
    ends.push(() => browser.close());
    print(`ready (${seconds(start)}): ${server.url}, Chromium ${browser.version()}, ${chosen.length} tests`);

    let passed = 0;
    const begin = Date.now();
    const work = async (queue: Test[]): Promise<void> => {
      for (let one = queue.shift(); one !== undefined; one = queue.shift()) {
        if (Date.now() - begin > totalLimit * 1000) {
          print(`FAIL  ${one.name}: not begun within ${totalLimit} s`);
        } else if (await perform(one, { binary, server, browser })) passed++;
      }
    };
    const isCalm = ({ name }: Test): boolean => calm.some((group) => name.startsWith(`${group}:`));
    await work(chosen.filter((one) => !isCalm(one)));
    const others = chosen.filter(isCalm);
    await Promise.all(Array.from({ length: calmAtOnce }, () => work(others)));
    print(`${seconds(begin)} in all\n${passed} passed, ${chosen.length - passed} failed`);
    return passed === chosen.length && passed > 0;
  } finally {
    for (const end of ends.reverse()) await end().catch((error: unknown) => print(String(error)));
  }
}

process.exitCode = (await main()) ? 0 : 1;
