/** Where tiles stand. Everything here is arithmetic on sizes: no DOM, no reactivity. */

export const minAspect = 4 / 3;
export const maxAspect = 17 / 9;
const targetAspect = 16 / 9;

export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface Grid {
  readonly columns: number;
  readonly rows: number;
  readonly tile: Size;
  readonly gap: number;
}

export function gapFor(width: number): number {
  if (width < 480) return 8;
  return width < 800 ? 12 : 16;
}

function arrange(area: Size, count: number, columns: number, gap: number): Grid {
  const rows = Math.ceil(count / columns);
  const cell = {
    width: Math.max(0, (area.width - (columns - 1) * gap) / columns),
    height: Math.max(0, (area.height - (rows - 1) * gap) / rows),
  };
  return { columns, rows, gap, tile: fit(cell, minAspect, maxAspect) };
}

/** The largest size inside `cell` whose aspect is within the bounds. */
export function fit(cell: Size, least: number, most: number): Size {
  const aspect = cell.height > 0 ? cell.width / cell.height : most;
  if (aspect > most) return { width: Math.floor(cell.height * most), height: Math.floor(cell.height) };
  if (aspect < least) return { width: Math.floor(cell.width), height: Math.floor(cell.width / least) };
  return { width: Math.floor(cell.width), height: Math.floor(cell.height) };
}

/**
 * The grid for `count` tiles: as many columns as the shape of the area asks for. The rounded
 * estimate is sometimes one off when the last row is short, so its neighbours are compared by area.
 */
export function gridFor(area: Size, count: number, gap = gapFor(area.width)): Grid {
  const tiles = Math.max(1, count);
  const shape = area.height > 0 ? area.width / area.height : targetAspect;
  const estimate = Math.round(Math.sqrt((shape / targetAspect) * tiles));
  let best: Grid | undefined;
  for (const columns of [estimate, estimate - 1, estimate + 1]) {
    const grid = arrange(area, tiles, Math.min(tiles, Math.max(1, columns)), gap);
    if (!best || grid.tile.width * grid.tile.height > best.tile.width * best.tile.height) best = grid;
  }
  return best as Grid;
}

/** What is not on the page is not received: more pictures than these a person doesn't watch at a time. */
export const mostOnPage = 12;

/** How many tiles one page holds: the smallest useful tile grows with the window, within bounds. */
export function pageSize(area: Size, count: number): number {
  const least = Math.min(240, Math.max(160, Math.sqrt(area.width * area.height) / 5));
  const room = Math.floor((area.width * area.height) / (least * (least / minAspect) * 1.15));
  return Math.max(1, Math.min(count, room, mostOnPage));
}

/**
 * pip: a picture-in-picture window. flat: a phone on its side. narrow: an upright phone.
 */
export type WindowMode = 'pip' | 'flat' | 'narrow' | 'normal';

export function windowMode({ width, height }: Size): WindowMode {
  if (width <= 340 && height <= 400) return 'pip';
  if (height <= 500 && width > height) return 'flat';
  if (width <= 640) return 'narrow';
  return 'normal';
}
