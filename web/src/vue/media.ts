import { onScopeDispose, shallowReadonly, shallowRef, toRaw, toValue, watch } from 'vue';
import type { MaybeRefOrGetter, ShallowRef } from 'vue';
import type { CallStats, LocalMedia, MediaFeed, Room } from '../client/index';
import { useReadable } from './readable';

/** The state of own devices as refs. */
export function useDevices(media: LocalMedia) {
  return {
    camera: useReadable(media.camera),
    microphone: useReadable(media.microphone),
    screen: useReadable(media.screen),
    feeds: useReadable(media.feeds),
    devices: useReadable(media.devices),
    level: useReadable(media.level),
    speaker: useReadable(media.speaker),
    blocked: useReadable(media.blocked),
  };
}

/**
 * A template ref for a `<video>` or `<audio>` that plays the feed:
 * `const video = useFeed(() => props.feed)`, `<video ref="video">`.
 */
export function useFeed(feed: MaybeRefOrGetter<MediaFeed | null | undefined>): ShallowRef<HTMLMediaElement | null> {
  const element = shallowRef<HTMLMediaElement | null>(null);
  watch([element, () => toValue(feed)] as const, ([target, source], _before, onCleanup) => {
    if (target && source) onCleanup(toRaw(source).attach(target));
  }, { immediate: true, flush: 'post' });
  return element;
}

/** Statistics of the call every `everyMs` milliseconds, null before the first reading. */
export function useCallStats(room: MaybeRefOrGetter<Room | null | undefined>, everyMs = 2_000): Readonly<ShallowRef<CallStats | null>> {
  const stats = shallowRef<CallStats | null>(null);
  let reading = false;
  const read = async (): Promise<void> => {
    const present = toRaw(toValue(room));
    if (!present || reading) return;
    reading = true;
    stats.value = await present.stats().catch(() => stats.value);
    reading = false;
  };
  const timer = setInterval(() => void read(), everyMs);
  void read();
  onScopeDispose(() => clearInterval(timer));
  return shallowReadonly(stats);
}
