import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { effectScope, nextTick, ref } from 'vue';
import { standsAfter, useSuggestion } from './lowBandwidth';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function suggestion() {
  const limited = ref(0);
  const on = ref(false);
  const scope = effectScope();
  const made = scope.run(() => useSuggestion(() => limited.value, () => on.value));
  if (!made) throw new Error('no scope');
  return { limited, on, scope, ...made };
}

it('is made when several pictures are limited for a while', async () => {
  const { limited, shown } = suggestion();
  limited.value = 2;
  await nextTick();
  vi.advanceTimersByTime(standsAfter - 1);
  expect(shown.value).toBe(false);
  vi.advanceTimersByTime(1);
  expect(shown.value).toBe(true);
  limited.value = 0;
  await nextTick();
  expect(shown.value).toBe(false);
});

it('begins to count again after a moment without limit', async () => {
  const { limited, shown } = suggestion();
  limited.value = 3;
  await nextTick();
  vi.advanceTimersByTime(standsAfter - 1);
  limited.value = 1;
  await nextTick();
  limited.value = 3;
  await nextTick();
  vi.advanceTimersByTime(standsAfter - 1);
  expect(shown.value).toBe(false);
});

it('is not made for one picture, nor while the mode is on', async () => {
  const { limited, on, shown } = suggestion();
  limited.value = 1;
  await nextTick();
  vi.advanceTimersByTime(standsAfter);
  expect(shown.value).toBe(false);
  on.value = true;
  limited.value = 5;
  await nextTick();
  vi.advanceTimersByTime(standsAfter);
  expect(shown.value).toBe(false);
});

it('is not made again once dismissed, and ends with its scope', async () => {
  const { limited, shown, dismiss, scope } = suggestion();
  limited.value = 2;
  await nextTick();
  vi.advanceTimersByTime(standsAfter);
  dismiss();
  expect(shown.value).toBe(false);
  limited.value = 0;
  await nextTick();
  limited.value = 2;
  await nextTick();
  vi.advanceTimersByTime(standsAfter);
  expect(shown.value).toBe(false);
  scope.stop();
  expect(vi.getTimerCount()).toBe(0);
});
