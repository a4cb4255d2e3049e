import { expect, it } from 'vitest';
import { coalesce, type Announcement } from './announcer';

const phrases = {
  joined: (names: readonly string[]) => `${names.join('+')} joined.`,
  left: (names: readonly string[]) => `${names.join('+')} left.`,
  message: (name: string, text: string) => `${name}: ${text}`,
  messages: (count: number) => `${count} messages.`,
};
const say = (...all: Announcement[]) => coalesce(all, phrases);

it('says one message in full', () => expect(say({ kind: 'message', name: 'Ada', text: 'hi\nyou' })).toBe('Ada: hi you'));
it('counts several', () =>
  expect(say({ kind: 'message', name: 'Ada', text: 'a' }, { kind: 'message', name: 'Bo', text: 'b' })).toBe('2 messages.'));
it('joins arrivals', () => expect(say({ kind: 'joined', name: 'Ada' }, { kind: 'joined', name: 'Bo' })).toBe('Ada+Bo joined.'));
it('says a notice once and first', () =>
  expect(say({ kind: 'left', name: 'Bo' }, { kind: 'notice', text: 'Muted.' }, { kind: 'notice', text: 'Muted.' })).toBe('Muted. Bo left.'));
it('cuts a long message', () => expect(say({ kind: 'message', name: 'A', text: 'x'.repeat(500) }).length).toBeLessThan(180));
