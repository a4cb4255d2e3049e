import { describe, expect, it } from 'vitest';
import type { Message, Run } from '../../client';
import { complete, mentionedUsers, queryAt, suggestions } from './mentions';
import { excerpt, rowsOf } from './rows';

const noon = new Date(2026, 4, 3, 12).getTime();
const message = (seq: number, user: string, at: number, more: Partial<Message> = {}): Message => ({
  key: String(seq), seq, author: { user, name: user, kind: 'human' }, isOwn: false, text: 'x', at, edited: null, deleted: false,
  replyTo: 0, mentions: [], reactions: {}, status: 'sent', outgoing: null, ...more,
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

describe('answers in the list', () => {
  const answer = (seq: number, replaces: number, status: 'completed' | 'failed' = 'completed') => message(seq, 'bot:scribe', noon, {
    key: `r${seq}`,
    run: { run: `r${seq}`, bot: 'scribe', status, by: { user: 'a', name: 'a', kind: 'human' }, model: 'built-in', ms: 1, firstTokenMs: 1, replaces },
  });
  const shown = (...log: Message[]) => rowsOf(log, 0).map((row) => [row.message.seq, row.earlier.map((one) => one.seq)]);

  it('fold those that were given anew under the newest', () =>
    expect(shown(message(1, 'a', noon), answer(2, 0), message(3, 'a', noon), answer(4, 2), answer(5, 4))).toEqual([[1, []], [3, []], [5, [4, 2]]]));
  it('stay when the newer one failed or was deleted', () => {
    expect(shown(answer(2, 0), answer(4, 2, 'failed'))).toEqual([[2, []], [4, [2]]]);
    expect(shown(answer(2, 0), { ...answer(4, 2), deleted: true })).toEqual([[2, []], [4, [2]]]);
  });
  it('name what is older than the list as far as it is there', () => expect(shown(answer(5, 4))).toEqual([[5, []]]));
  it('have their author above them, who wrote a moment ago', () => expect(rowsOf([answer(2, 0), answer(3, 0)], 0).map((row) => row.head)).toEqual([true, true]));

  it('stand at the end while they are given, under the key of the message to come', () => {
    const run = { id: 'r9', author: { user: 'bot:scribe', name: 'Scribe', kind: 'bot' }, replyTo: 1, startedAt: noon } as Run;
    const [, live] = rowsOf([message(1, 'a', noon)], 0, [run]);
    expect(live).toMatchObject({ run, head: true, message: { key: 'r9', seq: 0, replyTo: 1, author: run.author } });
  });
});

it.each([
  ['**bold** and `code`', 'bold and code'],
  ['# Title\n\ntext', 'Title text'],
  ['```js\nlet a\n```', 'let a'],
  ['> quoted', 'quoted'],
  ['- one\n2. two', 'one two'],
  ['as [12:04 Ada](#m47) said', 'as 12:04 Ada said'],
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
