import type { RetryContext } from './types';

export const retryBaseMs = 250;
export const retryCapMs = 20_000;

/**
 * Full jitter: uniform in [0, min(cap, base * 2^attempt)), so that ten thousand clients of a server
 * that restarts do not come back in step. Never gives up.
 */
export function fullJitter({ attempt }: Pick<RetryContext, 'attempt'>, random: () => number = Math.random): number {
  return random() * Math.min(retryCapMs, retryBaseMs * 2 ** Math.min(attempt, 16));
}

/**
 * Whether a close code asks for another attempt (protocol section 3). The number's range decides,
 * so that codes to come are understood; 4010 alone is an exception: two windows of one session
 * would push each other out for ever.
 */
export function mayReconnect(code: number): boolean {
  if (code === 4010) return false;
  if (code >= 4000) return code < 4500;
  return ![1002, 1003, 1007, 1008, 1009].includes(code);
}
