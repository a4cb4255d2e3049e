import type { Message } from '../../client';

/** `seq` of each answer that was given anew -> `seq` of the newer one. An attempt that failed takes nobody's place. */
export function replacedBy(log: readonly Message[]): ReadonlyMap<number, number> {
  const newer = new Map<number, number>();
  for (const { run, seq, deleted } of log) if (run?.replaces && run.status !== 'failed' && !deleted) newer.set(run.replaces, seq);
  return newer;
}

/** The answers before `answer`, newest first, as far as they are loaded. */
export function earlierOf(answer: Message, log: readonly Message[]): Message[] {
  const earlier: Message[] = [];
  const seen = new Set<number>([answer.seq]);
  for (let seq = answer.run?.replaces ?? 0; seq > 0 && !seen.has(seq); ) {
    seen.add(seq);
    const one = log.find((message) => message.seq === seq);
    if (!one) break;
    if (!one.deleted) earlier.push(one);
    seq = one.run?.replaces ?? 0;
  }
  return earlier;
}

/** The one that stands for `seq` now: itself, or the newest that took its place. */
export function standsFor(seq: number, newer: ReadonlyMap<number, number>): number {
  let now = seq;
  for (let steps = 0; steps < newer.size; steps++) now = newer.get(now) ?? now;
  return now;
}
