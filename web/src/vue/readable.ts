import { onScopeDispose, shallowReadonly, shallowRef, toRaw, toValue, watch } from 'vue';
import type { MaybeRefOrGetter, ShallowRef } from 'vue';
import type { Readable } from '../client/index';

/**
 * A readable as a ref, until the scope ends. The source may be a getter or a ref that changes or is
 * not there yet: then the value is `fallback` (undefined unless given).
 */
export function useReadable<T>(source: Readable<T>): Readonly<ShallowRef<T>>;
export function useReadable<T>(source: MaybeRefOrGetter<Readable<T> | null | undefined>): Readonly<ShallowRef<T | undefined>>;
export function useReadable<T>(source: MaybeRefOrGetter<Readable<T> | null | undefined>, fallback: T): Readonly<ShallowRef<T>>;
export function useReadable<T>(
  source: MaybeRefOrGetter<Readable<T> | null | undefined>, fallback?: T,
): Readonly<ShallowRef<T | undefined>> {
  const value = shallowRef<T | undefined>(fallback);
  let stop: () => void = () => undefined;
  watch(() => toValue(source), (readable) => {
    stop();
    stop = () => undefined;
    // A deep ref wraps what is put into it, and private fields cannot be reached through that.
    if (readable) stop = toRaw(readable).subscribe((next) => { value.value = next; });
    else value.value = fallback;
  }, { immediate: true, flush: 'sync' });
  onScopeDispose(() => stop());
  return shallowReadonly(value);
}
