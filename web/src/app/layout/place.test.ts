import { describe, expect, it } from 'vitest';
import { arrange, type ArrangeOptions, type Placement, type TileInput } from './place';

const cameras = (count: number): TileInput[] => Array.from({ length: count }, (_, index) => ({ key: `c${index}`, source: 'camera' }));
const screens = (count: number): TileInput[] => Array.from({ length: count }, (_, index) => ({ key: `s${index}`, source: 'screen' }));
const options = (more: Partial<ArrangeOptions>): ArrangeOptions => ({
  area: { width: 1300, height: 700 }, stage: [], others: [], self: 'c0', page: 0, oneOnOne: true, corner: 0, ...more,
});
const overlap = (a: Placement, b: Placement) =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

describe('arrange', () => {
  it.each([
    ['two alone', { others: cameras(2) }, 'one-on-one'],
    ['two with a grid chosen', { others: cameras(2), oneOnOne: false }, 'grid'],
    ['three', { others: cameras(3) }, 'grid'],
    ['a share', { others: cameras(3), stage: screens(1) }, 'stage'],
    ['nobody', {}, 'grid'],
  ] as const)('%s', (_, more, kind) => expect(arrange(options(more)).kind).toBe(kind));

  it('keeps every tile inside the area and apart from the others', () => {
    for (const [width, height] of [[1300, 700], [390, 640], [700, 300], [1000, 900]] as const) {
      for (let shares = 0; shares <= 4; shares++) {
        for (let people = 1; people <= 20; people++) {
          const { tiles } = arrange(options({ area: { width, height }, others: cameras(people), stage: screens(shares), oneOnOne: false }));
          for (const [index, tile] of tiles.entries()) {
            expect(tile.x).toBeGreaterThanOrEqual(0);
            expect(tile.y).toBeGreaterThanOrEqual(0);
            expect(tile.x + tile.width).toBeLessThanOrEqual(width + 1);
            expect(tile.y + tile.height).toBeLessThanOrEqual(height + 1);
            for (const other of tiles.slice(index + 1)) expect(overlap(tile, other)).toBe(false);
          }
        }
      }
    }
  });

  it('says how many the strip leaves out', () => {
    const { tiles, more } = arrange(options({ others: cameras(30), stage: screens(1) }));
    expect(tiles.length - 1 + (more?.count ?? 0)).toBe(30);
    expect(more?.y).toBeGreaterThan(tiles.at(-1)?.y ?? 0);
  });

  it('gives a share the whole area when nobody else is there', () => {
    expect(arrange(options({ stage: screens(1) })).tiles[0]).toMatchObject({ x: 0, y: 0, width: 1300, height: 700 });
  });

  it('puts the strip beside on wide and above on upright screens', () => {
    const wide = arrange(options({ others: cameras(3), stage: screens(1) })).tiles;
    expect(wide[1]?.x).toBeGreaterThan(wide[0]?.width ?? 0);
    const upright = arrange(options({ area: { width: 390, height: 640 }, others: cameras(3), stage: screens(1) })).tiles;
    expect(upright[0]?.y).toBeGreaterThan(upright[1]?.height ?? 0);
  });

  it('shows each of 49 people on exactly one page, inside the area and apart from the others', () => {
    for (const [width, height] of [[1890, 930], [1256, 690], [820, 1000], [374, 560], [700, 300]] as const) {
      const grid = (page: number) => arrange(options({ area: { width, height }, others: cameras(49), page, oneOnOne: false }));
      const { pages } = grid(0);
      const shown = Array.from({ length: pages }, (_, page) => grid(page).tiles);
      expect(shown.flat().map((tile) => tile.key)).toEqual(cameras(49).map((tile) => tile.key));
      const sizes = new Set(shown.flat().map((tile) => `${tile.width}×${tile.height}`));
      expect([...sizes]).toHaveLength(1);
      for (const tiles of shown) {
        expect(tiles.length).toBeLessThanOrEqual(12);
        for (const [index, tile] of tiles.entries()) {
          expect(tile.width).toBeGreaterThanOrEqual(96);
          expect(tile.x).toBeGreaterThanOrEqual(0);
          expect(tile.x + tile.width).toBeLessThanOrEqual(width + 1);
          expect(tile.y + tile.height).toBeLessThanOrEqual(height + 1);
          for (const other of tiles.slice(index + 1)) expect(overlap(tile, other)).toBe(false);
        }
      }
    }
  });

  it('turns pages and stays within them', () => {
    const first = arrange(options({ area: { width: 390, height: 600 }, others: cameras(40) }));
    const last = arrange(options({ area: { width: 390, height: 600 }, others: cameras(40), page: 99 }));
    expect(first.pages).toBeGreaterThan(1);
    expect(last.page).toBe(first.pages - 1);
    expect(last.tiles.at(-1)?.key).toBe('c39');
  });
});
