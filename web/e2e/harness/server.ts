import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { until } from './until';

const run = promisify(execFile);
/** The runner stands in web/. */
const root = resolve('..');

/** The binary under test: that of CONFAB_BIN, else one that is built from the source in `folder`. */
export async function buildServer(folder: string): Promise<string> {
  if (process.env.CONFAB_BIN) return resolve(process.env.CONFAB_BIN);
  const binary = join(folder, 'confab');
  // A clone that belongs to somebody else has no version control to ask.
  await run('go', ['build', '-buildvcs=false', '-o', binary, './cmd/confab'], { cwd: root, maxBuffer: 1 << 24 });
  return binary;
}

/** A port that nobody listens on at present; a server that is started again needs the same one. */
async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

const alive = new Set<ChildProcess>();
// An interrupted run leaves no server behind either.
process.once('exit', () => alive.forEach((child) => child.kill('SIGKILL')));

/** One server process with its own port and data folder. `stop` leaves nothing behind. */
export class Server {
  readonly url: string;
  /** What it wrote to stdout and stderr, over restarts. */
  log = '';
  readonly #binary: string;
  readonly #port: number;
  readonly #data: string;
  readonly #flags: readonly string[];
  #process: ChildProcess | null = null;

  private constructor(binary: string, port: number, data: string, flags: readonly string[]) {
    this.#binary = binary;
    this.#port = port;
    this.#data = data;
    this.#flags = flags;
    this.url = `http://127.0.0.1:${port}`;
  }

  static async start(binary: string, flags: readonly string[] = []): Promise<Server> {
    const data = await mkdtemp(join(tmpdir(), 'confab-e2e-'));
    const server = new Server(binary, await freePort(), data, flags);
    await server.start();
    return server;
  }

  /** Starts the process and waits until it serves. */
  async start(): Promise<void> {
    const child = spawn(this.#binary, ['--listen', `127.0.0.1:${this.#port}`, '--data', this.#data, ...this.#flags], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#process = child;
    alive.add(child);
    child.once('exit', () => alive.delete(child));
    child.stdout.on('data', (text: Buffer) => (this.log += text.toString()));
    child.stderr.on('data', (text: Buffer) => (this.log += text.toString()));
    child.on('error', (error) => (this.log += `${error.message}\n`));
    await until(
      `the server at ${this.url} is ready`,
      async () => {
        if (child.exitCode !== null) return false;
        return (await fetch(`${this.url}/readyz`)).ok;
      },
      { seconds: 20 },
    ).catch((error: unknown) => {
      throw new Error(`${error instanceof Error ? error.message : String(error)}\n${this.log}`, { cause: error });
    });
  }

  /** Ends the process as a crash does: nothing is flushed, nobody is told. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM');
    await rm(this.#data, { recursive: true, force: true });
  }

  /** A token of this server's secret. */
  async token(flags: readonly string[]): Promise<string> {
    const { stdout } = await run(this.#binary, ['--data', this.#data, 'token', ...flags]);
    return stdout.trim();
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    const hung = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await ended;
    clearTimeout(hung);
  }
}
