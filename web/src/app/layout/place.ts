import { fit, gapFor, gridFor, maxAspect, minAspect, pageSize, type Size } from './grid';

/** From a list of tiles to rectangles: the whole call view as one pure function. */
export interface TileInput {
  readonly key: string;
  readonly source: 'camera' | 'screen';
}

export type TileRole = 'main' | 'strip' | 'float';

export interface Placement {
  readonly key: string;
  readonly role: TileRole;
  /** From the start edge, so that it holds for either writing direction. */
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Arrangement {
  readonly kind: 'grid' | 'one-on-one' | 'stage';
  readonly tiles: readonly Placement[];
  readonly page: number;
  readonly pages: number;
  /** How many found no place in the strip, and where that is said. */
  readonly more: { readonly count: number; readonly x: number; readonly y: number; readonly width: number; readonly height: number } | null;
}

export interface ArrangeOptions {
  readonly area: Size;
  /** Shown large; empty for the grid. */
  readonly stage: readonly TileInput[];
  /** All others, in order; own tile first. */
  readonly others: readonly TileInput[];
  readonly self: string | null;
  readonly page: number;
  /** Two people face each other instead of sharing a grid. */
  readonly oneOnOne: boolean;
  /** Which corner the own picture floats in, 0 to 3 clockwise from the bottom end. */
  readonly corner: number;
}

export function arrange(options: ArrangeOptions): Arrangement {
  if (options.area.width <= 0 || options.area.height <= 0) return { kind: 'grid', tiles: [], page: 0, pages: 1, more: null };
  if (options.stage.length > 0) return arrangeStage(options);
  if (options.oneOnOne && options.others.length === 2 && options.self !== null) return arrangeOneOnOne(options);
  return arrangeGrid(options);
}

interface PlaceOptions {
  readonly offset?: { readonly x: number; readonly y: number };
  readonly aspects?: { readonly least: number; readonly most: number };
  /** Places to make the tiles fit for; more than there are on the last page, whose tiles are as large as on the others. */
  readonly places?: number;
}

function place(
  keys: readonly string[],
  area: Size,
  role: TileRole,
  { offset = { x: 0, y: 0 }, aspects = { least: minAspect, most: maxAspect }, places = keys.length }: PlaceOptions = {},
): Placement[] {
  const grid = gridFor(area, places);
  const cell = { width: (area.width - (grid.columns - 1) * grid.gap) / grid.columns, height: (area.height - (grid.rows - 1) * grid.gap) / grid.rows };
  const tile = fit(cell, aspects.least, aspects.most);
  const rows = Math.ceil(keys.length / grid.columns);
  const height = rows * tile.height + (rows - 1) * grid.gap;
  return keys.map((key, index) => {
    const row = Math.floor(index / grid.columns);
    const inRow = row === rows - 1 ? keys.length - row * grid.columns : grid.columns;
    const rowWidth = inRow * tile.width + (inRow - 1) * grid.gap;
    return {
      key,
      role,
      x: Math.round(offset.x + (area.width - rowWidth) / 2 + (index % grid.columns) * (tile.width + grid.gap)),
      y: Math.round(offset.y + (area.height - height) / 2 + row * (tile.height + grid.gap)),
      ...tile,
    };
  });
}

function arrangeGrid({ area, others, page }: ArrangeOptions): Arrangement {
  const size = pageSize(area, others.length);
  const pages = Math.max(1, Math.ceil(others.length / size));
  const shown = Math.min(page, pages - 1);
  const keys = others.slice(shown * size, shown * size + size).map((tile) => tile.key);
  return { kind: 'grid', tiles: place(keys, area, 'main', { places: size }), page: shown, pages, more: null };
}

function arrangeOneOnOne({ area, others, self, corner }: ArrangeOptions): Arrangement {
  const other = others.find((tile) => tile.key !== self) as TileInput;
  const inset = area.width < 640 ? 12 : 20;
  const short = Math.min(area.width, area.height);
  const width = Math.round(Math.min(260, Math.max(112, short * 0.3)));
  // Upright on a phone, as the camera of a phone is.
  const own = area.height > area.width * 1.2 ? { width, height: Math.round(width * 1.33) } : { width: Math.round(width * 1.2), height: Math.round(width * 0.75) };
  const atEnd = corner === 0 || corner === 3;
  const atBottom = corner === 0 || corner === 1;
  return {
    kind: 'one-on-one',
    tiles: [
      { key: other.key, role: 'main', x: 0, y: 0, width: area.width, height: area.height },
      {
        key: self as string,
        role: 'float',
        x: atEnd ? area.width - own.width - inset : inset,
        y: atBottom ? area.height - own.height - inset : inset,
        ...own,
      },
    ],
    page: 0,
    pages: 1,
    more: null,
  };
}

/** How large a picture of 16:9 is inside `size`, in square pixels. */
function wideInside(size: Size): number {
  const { width, height } = fit(size, 16 / 9, 16 / 9);
  return width * height;
}

/** What is shown large, with a strip of the others beside it or above: whichever leaves more for a wide picture. */
function arrangeStage({ area, stage, others }: ArrangeOptions): Arrangement {
  const gap = gapFor(area.width);
  const above = Math.max(84, Math.min(area.height * 0.2, area.width * 0.25, 150));
  const beside = Math.max(120, Math.min(area.width * 0.18, 260));
  const upright =
    wideInside({ width: area.width, height: area.height - above - gap }) > wideInside({ width: area.width - beside - gap, height: area.height });
  const strip = others.length === 0 ? 0 : upright ? above : beside;
  const tile = upright ? { width: Math.round(strip * 1.25), height: Math.round(strip) } : { width: Math.round(strip), height: Math.round(strip / 1.5) };
  const length = upright ? area.width : area.height;
  const each = (upright ? tile.width : tile.height) + gap;
  const fits = Math.max(1, Math.floor((length + gap) / each));
  // The last place of a full strip says how many more there are.
  const shown = others.length > fits ? others.slice(0, fits - 1) : others;
  const places = Math.min(others.length, fits);
  const begin = Math.max(0, (length - places * each + gap) / 2);
  const slot = (index: number) => ({
    x: Math.round(upright ? begin + index * each : area.width - strip),
    y: Math.round(upright ? 0 : begin + index * each),
    ...tile,
  });

  const main: Size = upright
    ? { width: area.width, height: area.height - (strip > 0 ? strip + gap : 0) }
    : { width: area.width - (strip > 0 ? strip + gap : 0), height: area.height };
  const offset = { x: 0, y: upright && strip > 0 ? strip + gap : 0 };
  // A screen keeps its own shape inside the tile, so the tile takes all there is.
  const anyShape = { least: 0, most: Infinity };
  return {
    kind: 'stage',
    tiles: [
      ...place(stage.map((one) => one.key), main, 'main', { offset, aspects: anyShape }),
      ...shown.map(({ key }, index): Placement => ({ key, role: 'strip', ...slot(index) })),
    ],
    page: 0,
    pages: 1,
    more: others.length > shown.length ? { count: others.length - shown.length, ...slot(shown.length) } : null,
  };
}
