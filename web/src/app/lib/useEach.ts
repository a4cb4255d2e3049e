import { computed, effectScope, onScopeDispose, shallowRef, toValue, watch, type ComputedRef, type EffectScope, type MaybeRefOrGetter } from 'vue';

/**
 * One result of `setup` per item, made when the item appears and disposed of when it goes. What
 * many components need to know of each participant is so subscribed to once.
 */
export function useEach<Item, Result>(
  items: MaybeRefOrGetter<readonly Item[]>,
  key: (item: Item) => string,
  setup: (item: Item) => Result,
): ComputedRef<readonly Result[]> {
  const live = new Map<string, { item: Item; scope: EffectScope; result: Result }>();
  const results = shallowRef<readonly Result[]>([]);

  const drop = (id: string): void => {
    live.get(id)?.scope.stop();
    live.delete(id);
  };
  watch(
    () => toValue(items),
    (next) => {
      const present = new Set(next.map(key));
      for (const id of [...live.keys()]) if (!present.has(id)) drop(id);
      results.value = next.map((item) => {
        const id = key(item);
        const known = live.get(id);
        if (known?.item === item) return known.result;
        drop(id);
        // Detached: it must outlive this run of the watcher, not the component.
        const scope = effectScope(true);
        const result = scope.run(() => setup(item)) as Result;
        live.set(id, { item, scope, result });
        return result;
      });
    },
    { immediate: true, flush: 'sync' },
  );
  onScopeDispose(() => [...live.keys()].forEach(drop));
  return computed(() => results.value);
}
