import { t, type MessageKey } from '../i18n';
import type { Failure } from './session';

interface FailureText {
  readonly title: string;
  readonly remedy: string;
  readonly tone: 'warn' | 'danger';
}

/** Failures that have words of their own; what is left is a fault nobody could expect. */
const known = [
  'guests-refused', 'guest-failed', 'unauthorized', 'forbidden', 'banned', 'room-full', 'room-locked',
  'network', 'unavailable', 'timeout', 'rate-limited', 'unsupported', 'ended', 'denied', 'kicked', 'replaced', 'nobody',
] as const;
type Known = (typeof known)[number];

const firm: readonly Failure[] = ['banned', 'forbidden', 'denied'];

export function failureText(failure: Failure): FailureText {
  const name: Known | 'other' = known.find((code) => code === failure) ?? 'other';
  const key = (part: 'title' | 'remedy'): MessageKey => `failure.${name}.${part}`;
  return { title: t(key('title')), remedy: t(key('remedy')), tone: firm.includes(failure) ? 'danger' : 'warn' };
}
