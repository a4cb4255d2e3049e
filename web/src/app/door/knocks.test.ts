import { expect, it } from 'vitest';
import { participant } from '../../client/testing/server';
import { knockersOf } from './knocks';

it('shows a person with two tabs once, in the place of the first', () => {
  const knocking = [participant('p1', 'ada'), participant('p2', 'grace'), participant('p3', 'ada')];
  expect(knockersOf(knocking)).toEqual([{ id: 'p1', user: 'ada', name: 'ada' }, { id: 'p2', user: 'grace', name: 'grace' }]);
});

it('has nobody where nothing was said', () => expect(knockersOf(undefined)).toEqual([]));
