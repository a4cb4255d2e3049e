import { describe, expect, it } from 'vitest';
import type { Message } from '../../client';
import { complete, mentionedUsers, queryAt, suggestions } from './mentions';
import { excerpt, rowsOf } from './rows';

const noon = new Date(2026, 4, 3, 12).getTime();
const message = (seq: number, user: string, at: number, more: Partial<Message> = {}): Message => ({
  key: String(seq), seq, author: { user, name: user, kind: 'human' }, isOwn: false, text: 'x', at, edited: null, deleted: false,
  replyTo: 0, mentions: [], reactions: {}, status: 'sent', outgoing: null, run: null, ...more,
});
const minute = 60_000;

describe('rowsOf', () => {
  const heads = (...log: Message[]) => rowsOf(log, 0).map((row) => row.head);

  it('groups what one person says within five minutes', () =>
    expect(heads(message(1, 'a', noon), message(2, 'a', noon + minute), message(3, 'b', noon + minute), message(4, 'b', noon + 9 * minute))).toEqual([true, false, true, true]));
  it('starts a group with an answer', () =>
    expect(heads(message(1, 'a', noon), message(2, 'a', noon, { replyTo: 1 }))).toEqual([true, true]));
  it('separates days', () =>
    expect(rowsOf([message(1, 'a', noon), message(2, 'a', noon + 24 * 60 * minute)], 0).map((row) => row.day)).toEqual([true, true]));
  it('draws the line once', () =>
    expect(rowsOf([message(1, 'a', noon), message(5, 'a', noon), message(9, 'a', noon)], 5).map((row) => row.unread)).toEqual([false, true, false]));
});

it.each([
  ['**bold** and `code`', 'bold and code'],
  ['# Title\n\ntext', 'Title text'],
  ['```js\nlet a\n```', 'let a'],
  ['> quoted', 'quoted'],
  ['- one\n2. two', 'one two'],
  ['#topic, -5 degrees', '#topic, -5 degrees'],
])('excerpt of %s', (text, want) => expect(excerpt(text)).toBe(want));

describe('mentions', () => {
  const people = [
    { user: 'u1', name: 'Ann' },
    { user: 'u2', name: 'Ann Lee' },
    { user: 'u3', name: 'Björn' },
  ];

  it.each([
    ['@', 1, ''],
    ['hi @an', 6, 'an'],
    ['hi @an there', 6, 'an'],
    ['mail@an', 7, undefined],
    ['@an ', 4, undefined],
  ] as const)('query in %j at %i', (text, caret, want) => expect(queryAt(text, caret)?.text).toBe(want));

  it('finds by any word of a name', () => expect(suggestions('le', people).map((person) => person.user)).toEqual(['u2']));
  it('finds without regard to capitals', () => expect(suggestions('BJ', people).map((person) => person.user)).toEqual(['u3']));
  it('does not offer what is typed in full', () => expect(suggestions('björn', people)).toEqual([]));
  it('completes in the middle of a text', () =>
    expect(complete('hi @an you', { start: 3, end: 6, text: 'an' }, 'Ann')).toEqual({ text: 'hi @Ann you', caret: 8 }));
  it('names the longer one only', () => expect(mentionedUsers('hello @Ann Lee', people)).toEqual(['u2']));
  it('names both when both are there', () => expect(mentionedUsers('@ann and @Ann Lee!', people).sort()).toEqual(['u1', 'u2']));
  it('does not find a name inside a word', () => expect(mentionedUsers('x@Ann @Annabel', people)).toEqual([]));
});
