import { describe, expect, it } from 'vitest';
import { gridFor, maxAspect, minAspect, mostOnPage, pageSize, windowMode } from './grid';
import { compare, settle, type Orderable } from './order';
import { SpeakerTracker } from './speaker';

describe('gridFor', () => {
  const desktop = { width: 1400, height: 760 };
  const phone = { width: 374, height: 640 };

  it.each([
    [desktop, 1, 1],
    [desktop, 2, 2],
    [desktop, 4, 2],
    [desktop, 5, 3],
    [desktop, 9, 3],
    [desktop, 16, 4],
    [phone, 2, 1],
    [phone, 8, 2],
    [{ width: 1400, height: 200 }, 4, 4],
  ])('%o with %i tiles has %i columns', (area, count, columns) => expect(gridFor(area, count).columns).toBe(columns));

  it('keeps every tile inside the area and within the aspects', () => {
    for (let width = 200; width <= 2600; width += 300) {
      for (let height = 200; height <= 1600; height += 200) {
        for (let count = 1; count <= 49; count++) {
          const { columns, rows, tile, gap } = gridFor({ width, height }, count);
          expect(columns * rows).toBeGreaterThanOrEqual(count);
          expect(columns * tile.width + (columns - 1) * gap).toBeLessThanOrEqual(width);
          expect(rows * tile.height + (rows - 1) * gap).toBeLessThanOrEqual(height);
          if (tile.height > 20) {
            expect(tile.width / tile.height).toBeGreaterThan(minAspect - 0.1);
            expect(tile.width / tile.height).toBeLessThan(maxAspect + 0.1);
          }
        }
      }
    }
  });
});

it('a larger window holds more tiles on a page', () => {
  expect(pageSize({ width: 1400, height: 760 }, 100)).toBeGreaterThan(pageSize({ width: 390, height: 640 }, 100));
  expect(pageSize({ width: 390, height: 640 }, 3)).toBe(3);
  expect(pageSize({ width: 10, height: 10 }, 5)).toBe(1);
  expect(pageSize({ width: 3800, height: 2000 }, 49)).toBe(mostOnPage);
});

it.each([
  [320, 300, 'pip'],
  [844, 390, 'flat'],
  [390, 844, 'narrow'],
  [1440, 900, 'normal'],
] as const)('a window of %i x %i is %s', (width, height, mode) => expect(windowMode({ width, height })).toBe(mode));

describe('compare', () => {
  const tile = (id: string, more: Partial<Orderable> = {}): Orderable => ({
    id, self: false, pinned: false, lastSpoke: 0, speaking: false, hand: false, camera: false, joinedAt: 0, ...more,
  });
  const sorted = (...tiles: Orderable[]) => tiles.sort((a, b) => compare(a, b, 100_000)).map((one) => one.id);

  it('puts self, pinned, speaking, recent, hand, camera, then the first to come', () => {
    expect(
      sorted(
        tile('late', { joinedAt: 9 }), tile('early', { joinedAt: 1 }), tile('camera', { camera: true }), tile('hand', { hand: true }),
        tile('recent', { lastSpoke: 90_000 }), tile('loud', { speaking: true }), tile('pin', { pinned: true }), tile('me', { self: true }),
      ),
    ).toEqual(['me', 'pin', 'loud', 'recent', 'hand', 'camera', 'early', 'late']);
  });
});

describe('settle', () => {
  it('keeps places while everyone is in sight', () => expect(settle(['a', 'b', 'c'], ['c', 'b', 'a'], 4)).toEqual(['a', 'b', 'c']));
  it('adds who came and drops who left', () => expect(settle(['a', 'b'], ['b', 'c'], 4)).toEqual(['b', 'c']));
  it('brings a speaker to the first page by one exchange', () => {
    expect(settle(['a', 'b', 'c', 'd', 'e'], ['a', 'e', 'd', 'c', 'b'], 2)).toEqual(['a', 'e', 'c', 'd', 'b']);
  });
});

describe('SpeakerTracker', () => {
  const talk = (tracker: SpeakerTracker, id: string, from: number, to: number) => {
    for (let now = from; now <= to; now += 250) tracker.hear([id], now);
  };

  it('does not take a cough for a turn', () => {
    const tracker = new SpeakerTracker();
    talk(tracker, 'a', 0, 500);
    expect(tracker.lastSpoke('a')).toBe(0);
    expect(tracker.audible('a', 600)).toBe(true);
  });

  it('stays with a speaker who pauses for breath and moves on when another talks', () => {
    const tracker = new SpeakerTracker();
    talk(tracker, 'a', 0, 2_000);
    expect(tracker.spotlight(['a', 'b'], 2_000)).toBe('a');
    talk(tracker, 'b', 2_100, 2_600);
    expect(tracker.spotlight(['a', 'b'], 2_600)).toBe('a');
    talk(tracker, 'b', 2_850, 5_000);
    expect(tracker.spotlight(['a', 'b'], 5_000)).toBe('b');
    expect(tracker.spotlight(['a', 'b'], 20_000)).toBe('b');
  });

  it('forgets a turn after a long silence', () => {
    const tracker = new SpeakerTracker();
    talk(tracker, 'a', 0, 2_000);
    tracker.hear([], 70_000);
    expect(tracker.lastSpoke('a')).toBe(0);
  });
});
