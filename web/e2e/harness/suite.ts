import type { Scene } from './scene';

export interface Test {
  readonly name: string;
  /** Seconds after which it has failed. */
  readonly limit: number;
  readonly run: (scene: Scene) => Promise<void>;
}

export const tests: Test[] = [];

/** Declares a test. Names are unique: the folder of a failure bears it. */
export function test(name: string, run: (scene: Scene) => Promise<void>, { limit = 60 }: { limit?: number } = {}): void {
  if (tests.some((other) => other.name === name)) throw new Error(`two tests are named "${name}"`);
  tests.push({ name, limit, run });
}
