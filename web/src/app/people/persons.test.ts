import { expect, it } from 'vitest';
import { personsOf } from './persons';

type Seen = Parameters<typeof personsOf>[0][number];
const seen = (id: string, user: string, more: Partial<Seen> = {}): Seen => ({
  id, user, name: user, kind: 'human', isSelf: false, role: 'member', hand: null, microphone: false, camera: false,
  sharing: false, speaking: false, status: 'online', audioFeeds: [], ...more,
});

it('merges the tabs of one user', () => {
  const [person, ...rest] = personsOf([seen('1', 'ann', { microphone: true, status: 'reconnecting' }), seen('2', 'ann', { camera: true, isSelf: true })]);
  expect(rest).toEqual([]);
  expect(person).toMatchObject({ participants: ['1', '2'], microphone: true, camera: true, isSelf: true, reconnecting: false });
});

it('orders hands by when they went up, then self, then names', () => {
  const order = personsOf([
    seen('1', 'zoe'), seen('2', 'me', { isSelf: true }), seen('3', 'bob', { hand: 20 }), seen('4', 'cat', { hand: 10 }), seen('5', 'amy'),
  ]).map((person) => person.user);
  expect(order).toEqual(['cat', 'bob', 'me', 'amy', 'zoe']);
});

it('leaves recorders out', () => expect(personsOf([seen('1', 'rec', { kind: 'recorder' })])).toEqual([]));

it('names what can be heard of others, over all their tabs', () => {
  const feed = (source: 'microphone' | 'screen-audio') => ({ source }) as Seen['audioFeeds'][number];
  const [me, ann] = personsOf([
    seen('1', 'ann', { audioFeeds: [feed('screen-audio')] }), seen('2', 'ann', { audioFeeds: [feed('microphone')] }),
    seen('3', 'me', { isSelf: true, audioFeeds: [feed('microphone')] }),
  ]);
  expect(ann?.sounds).toEqual(['microphone', 'screen-audio']);
  expect(me?.sounds).toEqual([]);
});
