import { beforeAll, describe, expect, it } from 'vitest';
import type { ThreadSummary } from '../../client';
import { loadTexts } from '../i18n';
import { lastOf, lineOf, rootOf, threadOn, titleOf } from './threads';

beforeAll(() => loadTexts('room'));

const noon = new Date(2026, 4, 3, 12, 4).getTime();
const summary = (more: Partial<ThreadSummary> = {}): ThreadSummary => ({ thread: 'm7', messages: 3, last: { seq: 9, ts: noon }, ...more });

describe('the name of a thread', () => {
  it.each([
    ['m7', 7],
    ['m0', 0],
    ['m07', 0],
    ['m', 0],
    ['m7a', 0],
    ['dm-1', 0],
    ['planning', 0],
  ])('%s hangs on %i', (thread, root) => expect(rootOf(thread)).toBe(root));
  it('is made of a message', () => expect(threadOn({ seq: 42 })).toBe('m42'));
});

describe('titleOf', () => {
  const names: Record<string, string> = { ada: 'Ada', 'bot:scribe': 'Scribe' };
  const title = (named: Parameters<typeof titleOf>[0]) => titleOf(named, (user) => names[user], 'ada');

  it.each([
    [summary({ title: '**Shall** we _meet_?' }), 'Shall we meet?'],
    [summary(), 'Thread on an earlier message'],
    [summary({ thread: 'planning' }), 'planning'],
    [summary({ thread: 'dm-1', with: ['ada', 'bot:scribe'] }), 'Scribe'],
    [summary({ thread: 'dm-1', with: ['ada', 'bot:gone'] }), 'someone who left'],
  ])('%#', (named, want) => expect(title(named)).toBe(want));
});

describe('the line under a message', () => {
  const plain = (text: string) => text.replace(/\u202f/g, ' ');

  it('says how much, and when last', () => expect(plain(lineOf(summary(), noon).text)).toBe('3 replies · last 12:04 PM'));
  it('names another day', () => expect(plain(lastOf(summary(), noon + 86_400_000))).toBe('last Yesterday 12:04 PM'));
  it('says in words what is not read', () =>
    expect(plain(lineOf(summary({ messages: 1, unread: 1 }), noon).label)).toBe('1 reply · last 12:04 PM, 1 unread'));
});
