import { useElementSize, useIntervalFn } from '@vueuse/core';
import { computed, ref, shallowRef, watch, type ComputedRef, type Ref } from 'vue';
import { pageSize } from '../layout/grid';
import { compare, settle } from '../layout/order';
import { arrange, type Arrangement, type Placement } from '../layout/place';
import { SpeakerTracker } from '../layout/speaker';
import type { MediaFeed } from '../../client';
import { tileKey, type CallContext } from './call';
import type { ParticipantView } from './participantViews';

/** One picture: somebody's camera (or the place where it would be), or a shared screen. */
export interface Tile {
  readonly key: string;
  readonly view: ParticipantView;
  readonly source: 'camera' | 'screen';
  readonly feed: MediaFeed | null;
}

export interface PlacedTile extends Tile {
  readonly place: Placement;
}

export interface Stage {
  readonly arrangement: ComputedRef<Arrangement>;
  readonly tiles: ComputedRef<readonly PlacedTile[]>;
  readonly page: Ref<number>;
  readonly corner: Ref<number>;
}

/** Recorders are never seen; bots stand in the list of people and have a tile only with a picture. */
const hasTile = (view: ParticipantView): boolean =>
  view.kind === 'human' || (view.kind !== 'recorder' && view.cameraFeed !== null);

/** What is shown where: order, spotlight and placement of all tiles. */
export function useStage(call: CallContext, element: Ref<HTMLElement | undefined>): Stage {
  const { width, height } = useElementSize(element);
  const page = ref(0);
  const corner = ref(0);
  const tracker = new SpeakerTracker();
  const now = ref(Date.now());
  const order = shallowRef<readonly string[]>([]);

  // Speech and silence are only visible over time: four looks a second.
  useIntervalFn(() => {
    now.value = Date.now();
    tracker.hear(call.views.value.filter((view) => view.speaking).map((view) => view.id), now.value);
  }, 250);

  const shares = computed(() => call.views.value.filter((view) => view.sharing && (view.screenFeed || view.isSelf)));
  const people = computed(() => call.views.value.filter(hasTile));

  const wanted = computed(() =>
    people.value
      .map((view) => ({
        id: view.id,
        self: view.isSelf,
        pinned: call.pinned.value === tileKey(view.id, 'camera'),
        lastSpoke: tracker.lastSpoke(view.id),
        speaking: tracker.audible(view.id, now.value),
        hand: view.hand !== null,
        camera: view.camera,
        joinedAt: view.joinedAt,
      }))
      .sort((a, b) => compare(a, b, now.value))
      .map((entry) => entry.id),
  );
  watch(
    [wanted, width, height],
    () => {
      const page = pageSize({ width: width.value, height: height.value }, wanted.value.length);
      const next = settle(order.value, wanted.value, page);
      // Looked at four times a second: an order that stays must not render anything again.
      if (next.join() !== order.value.join()) order.value = next;
    },
    { immediate: true },
  );

  const spotlight = computed(() => {
    if (call.layout.value !== 'speaker' || people.value.length < 2) return null;
    const remote = order.value.filter((id) => people.value.some((view) => view.id === id && !view.isSelf));
    return tracker.spotlight(remote, now.value);
  });

  const split = computed(() => {
    const byId = new Map(people.value.map((view) => [view.id, view]));
    const cameras = order.value.flatMap((id): Tile[] => {
      const view = byId.get(id);
      return view ? [{ key: tileKey(id, 'camera'), view, source: 'camera', feed: view.cameraFeed }] : [];
    });
    const screens = shares.value.map((view): Tile => ({ key: tileKey(view.id, 'screen'), view, source: 'screen', feed: view.screenFeed }));
    const all = [...screens, ...cameras];
    const pinned = all.find((tile) => tile.key === call.pinned.value);
    const large = pinned ? [pinned] : screens.length > 0 ? screens : cameras.filter((tile) => tile.view.id === spotlight.value);
    return { stage: large, others: all.filter((tile) => !large.includes(tile)) };
  });

  const self = computed(() => people.value.find((view) => view.isSelf));
  const arrangement = computed(() =>
    arrange({
      area: { width: width.value, height: height.value },
      stage: split.value.stage,
      others: split.value.others,
      self: self.value ? tileKey(self.value.id, 'camera') : null,
      page: page.value,
      oneOnOne: call.layout.value === 'auto',
      corner: corner.value,
    }),
  );
  const tiles = computed(() => {
    const byKey = new Map([...split.value.stage, ...split.value.others].map((tile) => [tile.key, tile]));
    return arrangement.value.tiles.flatMap((place): PlacedTile[] => {
      const tile = byKey.get(place.key);
      return tile ? [{ ...tile, place }] : [];
    });
  });

  // What was pinned can leave.
  watch(tiles, (shown) => {
    if (call.pinned.value !== null && !shown.some((tile) => tile.key === call.pinned.value)) call.pinned.value = null;
  });
  watch(() => arrangement.value.page, (shown) => (page.value = shown));

  return { arrangement, tiles, page, corner };
}
