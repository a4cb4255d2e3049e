import { expect, it } from 'vitest';
import { effect } from 'vue';
import { createVolumes, silent } from './volume';

it('plays everybody in full until told otherwise', () => {
  expect(createVolumes().of('ann', 'microphone')).toEqual({ level: 100, muted: false });
});

it('keeps each user and source apart', () => {
  const volumes = createVolumes();
  volumes.setLevel('ann', 'microphone', 40);
  expect(volumes.of('ann', 'microphone').level).toBe(40);
  expect(volumes.of('ann', 'screen-audio').level).toBe(100);
  expect(volumes.of('bob', 'microphone').level).toBe(100);
});

it.each([
  [-5, 0],
  [33.4, 33],
  [250, 100],
])('a level of %d is %d', (given, level) => {
  const volumes = createVolumes();
  volumes.setLevel('ann', 'microphone', given);
  expect(volumes.of('ann', 'microphone').level).toBe(level);
});

it('brings the level back after muting, and unmutes when the level is moved', () => {
  const volumes = createVolumes();
  volumes.setLevel('ann', 'microphone', 40);
  volumes.setMuted('ann', 'microphone', true);
  expect(silent(volumes.of('ann', 'microphone'))).toBe(true);
  volumes.setMuted('ann', 'microphone', false);
  expect(volumes.of('ann', 'microphone')).toEqual({ level: 40, muted: false });
  volumes.setMuted('ann', 'microphone', true);
  volumes.setLevel('ann', 'microphone', 60);
  expect(volumes.of('ann', 'microphone')).toEqual({ level: 60, muted: false });
});

it('is silent at level 0', () => expect(silent({ level: 0, muted: false })).toBe(true));

it('is reactive', () => {
  const volumes = createVolumes();
  const seen: number[] = [];
  effect(() => seen.push(volumes.of('ann', 'microphone').level));
  volumes.setLevel('ann', 'microphone', 10);
  volumes.setLevel('bob', 'microphone', 20);
  expect(seen).toEqual([100, 10]);
});
