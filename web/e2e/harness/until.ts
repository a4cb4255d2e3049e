import { setTimeout as pause } from 'node:timers/promises';

export interface Deadline {
  readonly seconds?: number;
  readonly everyMs?: number;
}

/**
 * Resolves with the first truthy answer of `probe`. Rejects at the deadline with `what` was awaited and the last
 * answer or error: the only way in which a test waits.
 */
export async function until<T>(
  what: string,
  probe: () => T | Promise<T>,
  { seconds = 10, everyMs = 100 }: Deadline = {},
): Promise<Exclude<T, false | null | undefined | 0 | ''>> {
  const end = Date.now() + seconds * 1000;
  let last: unknown;
  do {
    try {
      const answer = await probe();
      if (answer) return answer as Exclude<T, false | null | undefined | 0 | ''>;
      last = answer;
    } catch (error) {
      // A page that is between two states: asked again.
      last = error instanceof Error ? error.message : error;
    }
    await pause(everyMs);
  } while (Date.now() < end);
  throw new Error(`not within ${seconds} s: ${what} (last: ${brief(last)})`);
}

/** Resolves when `probe` answers `wanted`; rejects with what it answered instead. */
export async function untilEqual<T>(what: string, probe: () => T | Promise<T>, wanted: T, deadline: Deadline = {}): Promise<void> {
  let last: T | undefined;
  const same = async (): Promise<boolean> => brief((last = await probe())) === brief(wanted);
  await until(what, same, deadline).catch((error: unknown) => {
    throw new Error(`${what}: wanted ${brief(wanted)}, got ${brief(last)}`, { cause: error });
  });
}

/** Lets time pass where its length is the subject of the test, as in "the network is away for ten seconds". */
export const pass = (seconds: number): Promise<void> => pause(seconds * 1000);

export function assert(holds: unknown, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

export function assertEqual<T>(got: T, wanted: T, what: string): void {
  assert(brief(got) === brief(wanted), `${what}: wanted ${brief(wanted)}, got ${brief(got)}`);
}

const brief = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value)));
