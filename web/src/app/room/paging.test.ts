import { expect, it } from 'vitest';
import { keyedPages, swipedPages } from './paging';

it.each([
  ['to the left', -80, 0, false, 1],
  ['to the right', 80, 10, false, -1],
  ['to the left, right to left', -80, 0, true, -1],
  ['to the right, right to left', 80, 0, true, 1],
  ['too short', -40, 0, false, 0],
  ['rather downwards', -80, 60, false, 0],
] as const)('a swipe %s', (_, dx, dy, rtl, pages) => expect(swipedPages(dx, dy, rtl)).toBe(pages));

it.each([
  ['PageDown', false, 1],
  ['PageDown', true, 1],
  ['PageUp', true, -1],
  ['ArrowRight', false, 1],
  ['ArrowRight', true, -1],
  ['ArrowLeft', true, 1],
  ['a', false, 0],
] as const)('%s, right to left: %s', (key, rtl, pages) => expect(keyedPages(key, rtl)).toBe(pages));
