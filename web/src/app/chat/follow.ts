import { useEventListener, useResizeObserver } from '@vueuse/core';
import type { Ref } from 'vue';

/** A scroll upwards within this time after a hand was at it is the reader's; the list moves by itself, too, as it is measured. */
const byHandMs = 700;
/** Places between two pixels count as the end. */
const endPx = 2;

/** Holds the end of `content` in sight while it grows there, as an answer does, until the reader goes up. `grown` is told of each change of its size. */
export function useFollow(scroller: Ref<HTMLElement | undefined>, content: Ref<HTMLElement | undefined>, grown: () => void): {
  /** Lets go: something else is shown. */
  release: () => void;
} {
  let holding = false;
  let lastTop = 0;
  let touched = 0;

  useEventListener(scroller, ['wheel', 'touchmove', 'keydown', 'pointermove'], (event) => {
    // A pointer moves the list only with a button down, on the scroll bar.
    if (!(event instanceof PointerEvent) || event.buttons > 0) touched = Date.now();
  }, { passive: true });
  useEventListener(scroller, 'scroll', () => {
    const element = scroller.value;
    if (!element) return;
    const { scrollTop, scrollHeight, clientHeight } = element;
    if (scrollHeight - scrollTop - clientHeight < endPx) holding = true;
    else if (scrollTop < lastTop && Date.now() - touched < byHandMs) holding = false;
    lastTop = scrollTop;
  }, { passive: true });
  useResizeObserver(content, () => {
    const element = scroller.value;
    if (!element) return;
    if (element.scrollHeight <= element.clientHeight) holding = true;
    else if (holding) element.scrollTop = element.scrollHeight;
    grown();
  });

  return { release: () => { holding = false; } };
}
