import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Scene } from './scene';

const blank = '<!doctype html><title>Studio</title><link rel="icon" href="data:,"><body></body>';

/** Serves an empty page that is no part of the app, on another origin than the server's, and resolves with its address. */
export async function studioOf(scene: Scene): Promise<string> {
  const site = createServer((_, response) => response.setHeader('Content-Type', 'text/html').end(blank));
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
  scene.onEnd(async () => {
    site.closeAllConnections();
    await new Promise((resolve) => site.close(resolve));
  });
  return `http://localhost:${(site.address() as AddressInfo).port}/`;
}
