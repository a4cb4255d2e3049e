import { readonly, ref, watch, type Ref } from 'vue';

/** A dip is no reason to ask: so long must the pictures have been limited. */
export const standsAfter = 15_000;
/** One poor picture may be the fault of the one who sends it. */
export const several = 2;

/**
 * Whether low-bandwidth mode is to be suggested: `limited` counts the pictures that the connection limits, `on` says that
 * the mode is on already. Who has dismissed it is not asked again in this call.
 */
export function useSuggestion(limited: () => number, on: () => boolean): { shown: Readonly<Ref<boolean>>; dismiss: () => void } {
  const shown = ref(false);
  let dismissed = false;
  watch(
    () => limited() >= several && !on(),
    (holds, _, onCleanup) => {
      if (!holds) {
        shown.value = false;
        return;
      }
      const timer = setTimeout(() => (shown.value = !dismissed), standsAfter);
      onCleanup(() => clearTimeout(timer));
    },
    { immediate: true },
  );
  return {
    shown: readonly(shown),
    dismiss() {
      dismissed = true;
      shown.value = false;
    },
  };
}
