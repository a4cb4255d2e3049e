import type { RunProgress } from '../../client';

/** Traces of this many runs are kept. */
const most = 50;
const kept = new Map<string, RunProgress>();

/** What was seen of a run that has ended: thoughts, and what tools said, stand in no message. */
export const traceOf = (run: string): RunProgress | undefined => kept.get(run);

export function keepTrace(run: string, progress: RunProgress): void {
  kept.delete(run);
  kept.set(run, progress);
  const [oldest] = kept.keys();
  if (kept.size > most && oldest !== undefined) kept.delete(oldest);
}
