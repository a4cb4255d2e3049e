import { useIntervalFn } from '@vueuse/core';
import { computed, ref, type ComputedRef } from 'vue';
import { SpeakerTracker } from '../layout/speaker';
import { tileKey, type CallContext } from '../room/call';
import type { ParticipantView } from '../room/participantViews';

/** The one picture that a small window has room for. */
export interface Feature {
  readonly view: ParticipantView;
  readonly source: 'camera' | 'screen';
}

type Shown = Pick<ParticipantView, 'id' | 'kind' | 'isSelf' | 'screenFeed'>;

/** What is pinned, else a screen, else who speaks, else the first of the others, else oneself. */
export function featured<View extends Shown>(
  views: readonly View[],
  pinned: string | null,
  spotlight: string | null,
): { readonly view: View; readonly source: 'camera' | 'screen' } | null {
  const people = views.filter((view) => view.kind !== 'recorder');
  for (const view of people) {
    if (pinned === tileKey(view.id, 'screen') && view.screenFeed) return { view, source: 'screen' };
    if (pinned === tileKey(view.id, 'camera')) return { view, source: 'camera' };
  }
  // Not the own one: a picture of the screen on the screen.
  const sharing = people.find((view) => view.screenFeed && !view.isSelf);
  if (sharing) return { view: sharing, source: 'screen' };
  const view = people.find(({ id }) => id === spotlight) ?? people.find(({ isSelf }) => !isSelf) ?? people[0];
  return view ? { view, source: 'camera' } : null;
}

/** What to show now, followed as people speak, share and leave. */
export function useFeature(call: CallContext): ComputedRef<Feature | null> {
  const tracker = new SpeakerTracker();
  const now = ref(Date.now());
  useIntervalFn(() => {
    now.value = Date.now();
    tracker.hear(call.views.value.filter((view) => view.speaking).map((view) => view.id), now.value);
  }, 250);
  return computed(() => {
    const remote = call.views.value.filter((view) => !view.isSelf && view.kind !== 'recorder').map((view) => view.id);
    return featured(call.views.value, call.pinned.value, tracker.spotlight(remote, now.value));
  });
}
