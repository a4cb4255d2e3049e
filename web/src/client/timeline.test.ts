import { beforeEach, describe, expect, it } from 'vitest';
import { chat } from './testing/server';
import { maxMessages, Timeline } from './timeline';
import type { Envelope } from './wire';

let timeline: Timeline;
beforeEach(() => { timeline = new Timeline({ user: () => 'ada', keyOf: () => null }); });

const record = (type: string, seq: number, user: string, data: object): Envelope =>
  ({ type, seq, ts: seq, room: 'daily', author: { user, name: user, kind: 'human' }, data });
const show = () => timeline.messages.map((m) => `${m.seq}:${m.deleted ? 'deleted' : m.text}`);

describe('folding', () => {
  it('applies edits, deletions and reactions to what they name', () => {
    timeline.reset([chat(1, 0, 'ada', 'one'), chat(3, 1, 'bob', 'two')], true);
    timeline.apply(record('edit', 4, 'ada', { message: 1, text: 'uno' }));
    timeline.apply(record('reaction', 5, 'bob', { message: 1, emoji: '👋', on: true }));
    timeline.apply(record('reaction', 6, 'ada', { message: 1, emoji: '👋', on: true }));
    timeline.apply(record('reaction', 7, 'ada', { message: 1, emoji: '👋', on: true }));
    expect(timeline.get(1)).toMatchObject({ text: 'uno', edited: 4, isOwn: true, reactions: { '👋': ['bob', 'ada'] } });
    timeline.apply(record('reaction', 8, 'bob', { message: 1, emoji: '👋', on: false }));
    timeline.apply(record('reaction', 9, 'ada', { message: 1, emoji: '👋', on: false }));
    expect(timeline.get(1)?.reactions).toEqual({});
    timeline.apply(record('delete', 10, 'bob', { message: 3 }));
    timeline.apply(record('edit', 11, 'bob', { message: 3, text: 'back?' }));
    expect(show()).toEqual(['1:uno', '3:deleted']);
  });

  it('never changes a message object that was handed out', () => {
    timeline.reset([chat(1, 0, 'ada', 'one')], false);
    const before = timeline.get(1);
    timeline.apply(record('edit', 2, 'ada', { message: 1, text: 'uno' }));
    expect(before?.text).toBe('one');
    expect(timeline.messages[0]).not.toBe(before);
  });

  it('takes a message once', () => {
    expect(timeline.apply(chat(1, 0, 'bob', 'one'))).not.toBeNull();
    expect(timeline.apply(chat(1, 0, 'bob', 'one'))).toBeNull();
    expect(show()).toEqual(['1:one']);
  });

  it('clear empties what came before it', () => {
    timeline.reset([chat(1, 0, 'ada', 'one'), chat(3, 1, 'bob', 'two')], true);
    timeline.apply(record('clear', 4, 'ada', {}));
    timeline.apply(chat(5, 0, 'bob', 'three'));
    expect(show()).toEqual(['5:three']);
    expect(timeline.more).toBe(false);
  });

  it('puts an older page first, once', () => {
    timeline.reset([chat(10, 3, 'bob', 'ten')], true);
    timeline.apply(record('edit', 11, 'bob', { message: 3, text: 'dos' }));
    const page = [chat(1, 0, 'ada', 'one'), chat(3, 1, 'bob', 'dos', { data: { text: 'dos', edited: 11 } }), chat(10, 3, 'bob', 'ten')];
    timeline.prepend(page, false);
    expect(show()).toEqual(['1:one', '3:dos', '10:ten']);
    expect(timeline.more).toBe(false);
  });

  it('keeps what was folded by the server', () => {
    timeline.reset([chat(1, 0, 'bob', '', { data: { deleted: true } }), chat(2, 1, 'bob', '', {
      data: { text: 'new', edited: 77, replyTo: 1, mentions: ['ada'], reactions: { '👍': ['ada'] } },
    })], false);
    expect(timeline.get(1)).toMatchObject({ deleted: true, text: '' });
    expect(timeline.get(2)).toMatchObject({ edited: 77, replyTo: 1, mentions: ['ada'], reactions: { '👍': ['ada'] } });
  });

  it('is bounded: the oldest go, and can be loaded again', () => {
    for (let i = 1; i <= maxMessages + 3; i++) timeline.apply(chat(i, i - 1, 'bob', 'x'));
    expect(timeline.messages).toHaveLength(maxMessages);
    expect(timeline.first).toBe(4);
    expect(timeline.more).toBe(true);
  });
});
