/** In which order people appear, and how that order may change before someone's eyes. */

export interface Orderable {
  readonly id: string;
  readonly self: boolean;
  readonly pinned: boolean;
  /** Milliseconds when last speaking; 0 = never. */
  readonly lastSpoke: number;
  readonly speaking: boolean;
  readonly hand: boolean;
  readonly camera: boolean;
  readonly joinedAt: number;
}

const recentSpeech = 60_000;

/** Self, pinned, speaking, spoke lately, hand raised, camera on, then who came first. */
export function compare(a: Orderable, b: Orderable, now: number): number {
  return (
    rank(b.self, a.self) ||
    rank(b.pinned, a.pinned) ||
    rank(b.speaking, a.speaking) ||
    rank(spokeLately(b, now), spokeLately(a, now)) ||
    rank(b.hand, a.hand) ||
    rank(b.camera, a.camera) ||
    a.joinedAt - b.joinedAt ||
    (a.id < b.id ? -1 : 1)
  );
}

const rank = (a: boolean, b: boolean): number => Number(a) - Number(b);
const spokeLately = (tile: Orderable, now: number): boolean => tile.lastSpoke > 0 && now - tile.lastSpoke < recentSpeech;

/**
 * The order to show, given the one on screen. Whoever is on the first page keeps the place; when
 * somebody from a later page now belongs on it, one tile changes at a time, so that no face jumps
 * without a reason one can see.
 */
export function settle(shown: readonly string[], wanted: readonly string[], page: number): string[] {
  const present = new Set(wanted);
  const stay = shown.filter((id) => present.has(id));
  const known = new Set(stay);
  const order = [...stay, ...wanted.filter((id) => !known.has(id))];
  if (order.length <= page) return order;

  const first = order.slice(0, page);
  const belongs = new Set(wanted.slice(0, page));
  const incoming = wanted.slice(0, page).find((id) => !first.includes(id));
  if (incoming === undefined) return order;
  const leaving = [...first].reverse().find((id) => !belongs.has(id));
  if (leaving === undefined) return order;
  const from = order.indexOf(incoming);
  const to = order.indexOf(leaving);
  order[to] = incoming;
  order[from] = leaving;
  return order;
}
