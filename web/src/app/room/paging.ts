import { useEventListener } from '@vueuse/core';
import type { Ref } from 'vue';
import { direction } from '../i18n';
import { takesText } from '../lib/shortcuts';

/** Pixels that a finger moves before it means the next page. */
const leastSwipe = 56;

/** How many pages a finger that moved by `dx` and `dy` pixels turns, towards the end of the writing direction. */
export function swipedPages(dx: number, dy: number, rtl: boolean): -1 | 0 | 1 {
  // Steep: the finger scrolls, or means something else.
  if (Math.abs(dx) < leastSwipe || Math.abs(dx) < 2 * Math.abs(dy)) return 0;
  return dx < 0 === rtl ? -1 : 1;
}

/** How many pages a key turns. Left and right follow the writing direction, and are for the page buttons alone. */
export function keyedPages(key: string, rtl: boolean): -1 | 0 | 1 {
  switch (key) {
    case 'PageDown':
      return 1;
    case 'PageUp':
      return -1;
    case 'ArrowRight':
      return rtl ? -1 : 1;
    case 'ArrowLeft':
      return rtl ? 1 : -1;
    default:
      return 0;
  }
}

/** Turns the pages of `area` by finger and by Page Up and Page Down, unless the focus is where these keys scroll. */
export function usePaging(area: Ref<HTMLElement | undefined>, turn: (by: -1 | 1) => void): void {
  let start: Touch | null = null;
  const rtl = (): boolean => direction.value === 'rtl';

  useEventListener(area, 'touchstart', (event) => (start = event.touches.length === 1 ? (event.touches[0] ?? null) : null), { passive: true });
  useEventListener(area, 'touchend', (event) => {
    const end = event.changedTouches[0];
    const by = start && end ? swipedPages(end.clientX - start.clientX, end.clientY - start.clientY, rtl()) : 0;
    start = null;
    if (by !== 0) turn(by);
  });
  useEventListener(area, 'touchcancel', () => (start = null));

  useEventListener(window, 'keydown', (event) => {
    if (!event.key.startsWith('Page') || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const focused = document.activeElement;
    if (takesText(focused) || focused?.closest('aside, [role="dialog"], [role="menu"]')) return;
    const by = keyedPages(event.key, rtl());
    if (by !== 0) turn(by);
  });
}
