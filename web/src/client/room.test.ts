import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createClient } from './client';
import { chat, FakeServer, participant, quiet, refusal } from './testing/server';
import type { Client, Room } from './types';
import type { Envelope } from './wire';

let server: FakeServer;
let client: Client;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
  client = createClient({ url: 'ws://h/ws', token: 't', WebSocket: server.WebSocket, retry: () => 1_000 });
});
afterEach(() => { vi.useRealTimers(); });

const tick = (ms = 0) => vi.advanceTimersByTimeAsync(ms);
const join = () => client.join('daily', { call: false });
const show = (room: Room) => room.chat.log.value.map((m) => m.text);
const ids = (room: Room) => room.participants.value.map((p) => p.id);
const state = (type: string, from: string, data: object): Envelope => ({ type, room: 'daily', from, data });
const presence = (event: string, p = participant('p-bob', 'bob')): Envelope => ({ type: 'presence', room: 'daily', from: p.id, data: { event, participant: p } });

describe('joining', () => {
  it('connects first, and gives the same room to everyone who asks', async () => {
    const [a, b] = await Promise.all([join(), join()]);
    expect(a).toBe(b);
    expect(server.sent('join')).toHaveLength(1);
    expect(a.state.value).toBe('joined');
    expect(client.rooms.value).toEqual([a]);
    expect(a.self.value.isSelf).toBe(true);
  });

  it.each(['forbidden', 'room-locked', 'room-full'])('rejects with %s', async (code) => {
    server.answers.set('join', refusal(code, code === 'room-full'));
    await expect(join()).rejects.toMatchObject({ code });
    expect(client.rooms.value).toEqual([]);
    server.answers.delete('join');
    expect((await join()).state.value).toBe('joined');
  });

  it('can be cancelled', async () => {
    server.silent.add('join');
    const gate = new AbortController();
    const joined = client.join('daily', { call: false, signal: gate.signal }).catch((e: unknown) => e);
    await tick();
    gate.abort();
    expect(await joined).toMatchObject({ code: 'cancelled' });
  });

  describe('with a knock', () => {
    const knock = (signal?: AbortSignal) => client.join('daily', { call: false, knock: true, signal });
    const answerKnock = (type: string, data: unknown) => {
      const { id } = server.sent('join').at(-1) as Envelope;
      server.socket.say({ type, id, room: 'daily', data });
    };
    beforeEach(() => { server.silent.add('join'); });

    it('waits for as long as a person needs, through a lost connection', async () => {
      const joined = knock();
      await tick(9 * 60_000);
      expect(server.sent('join').map((m) => m.data)).toEqual([{ since: { seq: 0, epoch: '' }, knock: true }]);
      server.socket.end(1006);
      await tick(1_000);
      expect(server.sent('join')).toHaveLength(2);
      server.socket.say(server.welcome(server.sent('join').at(-1) as Envelope));
      const room = await joined;
      // Once inside one does not knock again.
      server.socket.end(1006);
      await tick(1_000);
      expect(server.sent('join').at(-1)?.data).toMatchObject({ knock: false });
      await room.leave();
    });

    it.each(['denied', 'banned', 'ended'])('is %s', async (reason) => {
      const joined = knock().catch((e: unknown) => e);
      await tick();
      answerKnock('removed', { reason });
      expect(await joined).toMatchObject({ code: reason });
      expect(client.rooms.value).toEqual([]);
    });

    it('gives up when nobody came', async () => {
      const joined = knock().catch((e: unknown) => e);
      await tick();
      answerKnock('error', { code: 'timeout', message: 'nobody came', retryable: true });
      expect(await joined).toMatchObject({ code: 'timeout' });
      await tick(60_000);
      expect(server.sent('join')).toHaveLength(1);
    });

    it('stops waiting when that is cancelled', async () => {
      const gate = new AbortController();
      const joined = knock(gate.signal).catch((e: unknown) => e);
      await tick();
      gate.abort();
      expect(await joined).toMatchObject({ code: 'cancelled' });
      expect(server.sent('leave')).toHaveLength(1);
    });
  });

  it('waits out a connection that is lost in the middle', async () => {
    server.silent.add('join');
    const joined = join();
    await tick();
    server.silent.delete('join');
    server.socket.end(1006);
    await tick(1_000);
    expect((await joined).state.value).toBe('joined');
  });

  it('takes what follows joined in the same frame', async () => {
    server.answers.set('join', (m) => {
      const welcome = server.welcome(m);
      queueMicrotask(() => server.socket.say(welcome, chat(1, 0, 'bob', 'first'), presence('joined')));
      return [];
    });
    const room = await join();
    expect(show(room)).toEqual(['first']);
    expect(ids(room)).toEqual(['p-ada', 'p-bob']);
  });
});

describe('resuming', () => {
  interface Case { name: string; first: [number, number?]; joined: object; since: object; log: string[] }
  const cases: Case[] = [
    {
      name: 'appends what came meanwhile when recovered', first: [2], since: { seq: 2, epoch: 'e1' },
      joined: { recovered: true, seq: 6, history: [chat(4, 2, 'bob', 'c'), { type: 'edit', room: 'daily', seq: 6, prev: 4, ts: 9, author: { user: 'bob', name: 'bob', kind: 'human' }, data: { message: 2, text: 'B' } }] },
      log: ['a', 'B', 'c'],
    },
    {
      name: 'replaces the window when not', first: [2], since: { seq: 2, epoch: 'e1' },
      joined: { recovered: false, seq: 90, epoch: 'e2', history: [chat(88, 70, 'bob', 'x'), chat(90, 88, 'bob', 'y')] }, log: ['x', 'y'],
    },
    {
      name: 'asks from the log\'s last position, not from the last message', first: [7, 7], since: { seq: 7, epoch: 'e1' },
      joined: { recovered: true, seq: 7, history: [] }, log: ['a', 'b'],
    },
  ];
  it.each(cases)('$name', async ({ first, joined, since, log }) => {
    server.joined = { seq: first[1], history: [chat(1, 0, 'bob', 'a'), chat(2, 1, 'bob', 'b')] };
    const room = await join();
    const resumed = vi.fn();
    room.on('resumed', resumed);
    server.joined = joined;
    server.socket.end(4009);
    expect(room.state.value).toBe('rejoining');
    await tick(1_000);
    expect(server.sent('join').at(-1)).toMatchObject({ room: 'daily', data: { since } });
    expect(room.state.value).toBe('joined');
    expect(show(room)).toEqual(log);
    expect(resumed).toHaveBeenCalledTimes(1);
  });

  it('rejoins every room', async () => {
    await join();
    await client.join('other', { call: false });
    server.socket.end(1006);
    await tick(1_000);
    expect(server.socket.messages.filter((m) => m.type === 'join').map((m) => m.room)).toEqual(['daily', 'other']);
  });

  it('is out when the server no longer lets it in, and tries again when it may pass', async () => {
    const room = await join();
    server.answers.set('join', refusal('unavailable', true, 500));
    server.socket.end(1006);
    await tick(3_000);
    expect(room.state.value).toBe('rejoining');
    server.answers.set('join', refusal('forbidden'));
    await tick(3_000);
    expect(room.state.value).toBe('removed');
    expect(client.rooms.value).toEqual([]);
  });
});

describe('the log', () => {
  it('takes each record once, whatever is repeated', async () => {
    const room = await join();
    server.socket.say(chat(1, 0, 'bob', 'a'), chat(1, 0, 'bob', 'a'), chat(5, 1, 'bob', 'b'), chat(1, 0, 'bob', 'a'));
    expect(show(room)).toEqual(['a', 'b']);
  });

  it('joins again when prev was not seen, and once', async () => {
    server.joined = { seq: 2, history: [chat(2, 0, 'bob', 'a')] };
    const room = await join();
    server.joined = { recovered: true, seq: 9, history: [chat(4, 2, 'bob', 'b'), chat(7, 4, 'bob', 'c'), chat(9, 7, 'bob', 'd')] };
    server.socket.say(chat(7, 4, 'bob', 'c'), chat(9, 7, 'bob', 'd'));
    await tick();
    expect(server.sent('join').map((m) => m.data)).toEqual([{ since: { seq: 0, epoch: '' } }, { since: { seq: 2, epoch: 'e1' } }]);
    expect(show(room)).toEqual(['a', 'b', 'c', 'd']);
    server.socket.say(chat(12, 9, 'bob', 'e'));
    expect(show(room)).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(server.sent('join')).toHaveLength(2);
  });

  it('does not ask for ever about a hole that the log itself has', async () => {
    server.joined = { seq: 2, history: [] };
    const room = await join();
    server.joined = { recovered: true, seq: 2, history: [] };
    for (let i = 0; i < 5; i++) {
      server.socket.say(chat(10 + i, i === 0 ? 5 : 9 + i, 'bob', `m${i}`));
      await tick();
    }
    expect(server.sent('join')).toHaveLength(2);
    expect(show(room)).toEqual(['m1', 'm2', 'm3', 'm4']);
  });

  it('prev 0 is no gap, and threads are another log', async () => {
    server.joined = { seq: 2, history: [] };
    const room = await join();
    server.socket.say(chat(5, 0, 'bob', 'a'), chat(8, 7, 'bob', 'elsewhere', { thread: 't' }), chat(9, 5, 'bob', 'b'));
    await tick();
    expect(show(room)).toEqual(['a', 'b']);
    expect(server.sent('join')).toHaveLength(1);
  });

  it('pages back, once at a time', async () => {
    server.joined = { more: true, seq: 9, history: [chat(9, 8, 'bob', 'c')] };
    const room = await join();
    server.answers.set('history', (m) => [{ type: 'history', id: m.id, room: 'daily', data: { messages: [chat(3, 0, 'bob', 'a'), chat(8, 3, 'bob', 'b')], more: false } }]);
    expect(await Promise.all([room.chat.loadOlder(), room.chat.loadOlder()])).toEqual([false, false]);
    expect(server.sent('history')).toMatchObject([{ data: { before: 9, limit: 50 } }]);
    expect(show(room)).toEqual(['a', 'b', 'c']);
    expect(room.chat.more.value).toBe(false);
  });

  it('repeats an edit that the connection lost, with the same id', async () => {
    server.joined = { seq: 1, history: [chat(1, 0, 'ada', 'a')] };
    const room = await join();
    server.silent.add('edit');
    const edited = room.chat.edit(1, 'b');
    await tick();
    server.silent.delete('edit');
    server.socket.end(1006);
    await tick(4_000);
    await edited;
    const [one, two] = server.sent('edit');
    expect(two?.id).toBe(one?.id);
  });
});

describe('unread, read and typing', () => {
  it('counts what others said after our mark', async () => {
    server.joined = { seq: 2, history: [chat(1, 0, 'bob', 'a'), chat(2, 1, 'bob', 'b')] };
    const room = await join();
    expect(room.chat.unread.value).toBe(0);
    server.socket.say(chat(3, 2, 'bob', 'c'), chat(4, 3, 'ada', 'mine'), chat(5, 4, 'bob', 'd'));
    expect([room.chat.unread.value, room.chat.firstUnread.value]).toEqual([2, 3]);
    room.chat.markRead(3);
    expect([room.chat.unread.value, room.chat.firstUnread.value]).toEqual([1, 5]);
    room.chat.markRead(1);
    expect(room.chat.unread.value).toBe(1);
    room.chat.markRead();
    expect(room.chat.unread.value).toBe(0);
    await tick(10_000);
    expect(server.sent('read').map((m) => m.data)).toEqual([{ seq: 3 }, { seq: 5 }]);
  });

  it('takes the marks of joined and of read', async () => {
    server.joined = {
      seq: 2, history: [chat(1, 0, 'bob', 'a'), chat(2, 1, 'bob', 'b')], reads: { ada: 1, cleo: 2 },
      participants: [participant('p-ada', 'ada'), participant('p-bob', 'bob')],
    };
    const room = await join();
    expect(room.chat.unread.value).toBe(1);
    expect(room.chat.readBy(2)).toEqual(['cleo']);
    server.socket.say(state('read', 'p-bob', { seq: 2 }));
    expect(room.chat.readMarks.value.get('bob')).toBe(2);
    expect(room.chat.readBy(2)).toEqual(['cleo']);
  });

  it('throttles typing and stops by itself', async () => {
    const room = await join();
    for (let i = 0; i < 50; i++) {
      room.chat.setTyping();
      await tick(100);
    }
    expect(server.sent('typing').map((m) => m.data)).toEqual([{ typing: true }, { typing: true }]);
    await tick(4_000);
    expect(server.sent('typing').at(-1)?.data).toEqual({ typing: false });
    room.chat.setTyping();
    room.chat.send('done');
    await tick(10_000);
    expect(server.sent('typing')).toHaveLength(4);
  });

  it('shows who types, until they send or are silent', async () => {
    server.joined = { participants: [participant('p-ada', 'ada'), participant('p-bob', 'bob'), participant('p-bob2', 'bob')] };
    const room = await join();
    const names = () => room.chat.typing.value.map((p) => p.name);
    server.socket.say(state('typing', 'p-bob', { typing: true }), state('typing', 'p-ada', { typing: true }));
    expect(names()).toEqual(['bob']);
    server.socket.say(chat(1, 0, 'bob', 'x'));
    expect(names()).toEqual([]);
    server.socket.say(state('typing', 'p-bob', { typing: true }));
    await tick(7_100);
    expect(names()).toEqual([]);
  });
});

describe('participants', () => {
  it('come, change, go, and merge into people', async () => {
    const room = await join();
    const events: string[] = [];
    room.on('participant-joined', (p) => events.push(`+${p.id}`));
    room.on('participant-left', (p) => events.push(`-${p.id}`));
    server.socket.say(presence('updated'), presence('joined', participant('p-bob2', 'bob', { joinedAt: 5 })));
    expect(room.people.value.map((p) => [p.user, p.participants.length])).toEqual([['ada', 1], ['bob', 2]]);
    server.socket.say(state('media-state', 'p-bob', { ...quiet, camera: true, hand: true }));
    const bob = room.participants.value.find((p) => p.id === 'p-bob');
    expect(bob?.media.value.camera).toBe(true);
    expect(bob?.hand.value).toEqual(expect.any(Number));
    server.socket.say(presence('left'));
    expect(ids(room)).toEqual(['p-ada', 'p-bob2']);
    expect(events).toEqual(['+p-bob', '+p-bob2', '-p-bob']);
  });

  it('who is missing after a restart are kept for 15 s', async () => {
    server.joined = { participants: [participant('p-ada', 'ada'), participant('p-bob', 'bob'), participant('p-cleo', 'cleo')] };
    const room = await join();
    const before = room.participants.value.find((p) => p.id === 'p-bob');
    server.joined = {};
    server.socket.end(1012);
    await tick(1_000);
    expect(ids(room)).toEqual(['p-ada', 'p-bob', 'p-cleo']);
    expect(before?.status.value).toBe('reconnecting');
    await tick(10_000);
    server.socket.say(presence('updated'));
    await tick(6_000);
    expect(ids(room)).toEqual(['p-ada', 'p-bob']);
    expect(room.participants.value.find((p) => p.id === 'p-bob')).toBe(before);
    expect(before?.status.value).toBe('online');
  });

  it('our own ghost of a session that was not resumed is nobody', async () => {
    const room = await join();
    server.self = 'p-ada2';
    server.joined = { participants: [participant('p-ada', 'ada', { status: 'reconnecting' }), participant('p-ada2', 'ada')] };
    server.socket.end(1006);
    await tick(1_000);
    expect(ids(room)).toEqual(['p-ada2']);
    expect(room.self.value.id).toBe('p-ada2');
    server.socket.say(presence('left', participant('p-ada', 'ada')));
    expect(ids(room)).toEqual(['p-ada2']);
  });
});

describe('the end', () => {
  it('removed tells why', async () => {
    const room = await join();
    server.socket.say({ type: 'removed', room: 'daily', data: { reason: 'kicked', text: 'by Bob' } });
    expect(room.state.value).toBe('removed');
    expect(room.removed.value).toEqual({ reason: 'kicked', text: 'by Bob' });
    expect(client.rooms.value).toEqual([]);
    server.socket.end(4500);
    expect(client.error.value?.code).toBe('kicked');
  });

  it('leave is told to the server, and requests end', async () => {
    const room = await join();
    await room.leave();
    expect(server.sent('leave')).toHaveLength(1);
    expect(room.state.value).toBe('left');
    await expect(room.moderate('lock')).rejects.toMatchObject({ code: 'closed' });
    expect(room.chat.send('x').status.value).toBe('queued');
  });

  it('closing the client leaves everything', async () => {
    const room = await join();
    client.close();
    expect(room.state.value).toBe('left');
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('what a room is told', () => {
  it('room, role and hand', async () => {
    server.joined = { room: { title: 'Daily', locked: false, recording: false } };
    const room = await join();
    expect(room.info.value).toMatchObject({ title: 'Daily', mode: 'mesh' });
    server.socket.say({ type: 'room', room: 'daily', data: { locked: true } }, presence('updated', participant('p-ada', 'ada', { role: 'moderator' })));
    expect(room.info.value).toMatchObject({ title: 'Daily', locked: true });
    server.socket.say({ type: 'room', room: 'daily', data: { knocking: [participant('p-bob', 'bob')] } });
    expect(room.info.value.knocking?.map((p) => p.user)).toEqual(['bob']);
    server.socket.say({ type: 'room', room: 'daily', data: { knocking: [] } });
    expect(room.info.value.knocking).toEqual([]);
    expect(room.role.value).toBe('moderator');
    room.setHand(true);
    await tick();
    expect(server.sent('media-state').at(-1)?.data).toEqual({ ...quiet, hand: true });
    server.socket.end(1006);
    await tick(1_000);
    expect(server.socket.messages.filter((m) => m.type === 'media-state').map((m) => m.data)).toEqual([{ ...quiet, hand: true }]);
  });

  it('moderation reaches the server and its refusal the caller', async () => {
    const room = await join();
    await room.moderate('mute', { participant: 'p-bob', source: 'camera' });
    expect(server.sent('moderate')).toMatchObject([{ data: { action: 'mute', participant: 'p-bob', source: 'camera' } }]);
    server.answers.set('moderate', refusal('forbidden'));
    await expect(room.moderate('end')).rejects.toMatchObject({ code: 'forbidden', retryable: false });
  });
});
