import { markRaw, onScopeDispose, shallowReadonly, shallowRef, toValue, watch } from 'vue';
import type { MaybeRefOrGetter, ShallowRef } from 'vue';
import { ClientError } from '../client/index';
import type { ClientErrorLike, JoinOptions, Room } from '../client/index';
import { useClient } from './client';

export interface RoomHandle {
  /** Null until joined, and again after it ended. */
  readonly room: Readonly<ShallowRef<Room | null>>;
  /** Why joining failed. */
  readonly error: Readonly<ShallowRef<ClientErrorLike | null>>;
  readonly joining: Readonly<ShallowRef<boolean>>;
  /** Tries again after an error. */
  retry(): void;
}

/** Joins the room named `id`, changes rooms with it, and leaves with the scope. Empty = no room. */
export function useRoom(id: MaybeRefOrGetter<string>, options: Omit<JoinOptions, 'signal'> = {}): RoomHandle {
  const client = useClient();
  const room = shallowRef<Room | null>(null);
  const error = shallowRef<ClientErrorLike | null>(null);
  const joining = shallowRef(false);
  let current = new AbortController();

  async function join(name: string): Promise<void> {
    leave();
    if (name === '') return;
    const { signal } = (current = new AbortController());
    error.value = null;
    joining.value = true;
    try {
      const joined = await client.join(name, { ...options, signal });
      if (signal.aborted) void joined.leave();
      else room.value = markRaw(joined);
    } catch (thrown) {
      if (!signal.aborted) error.value = thrown instanceof ClientError ? thrown : new ClientError('internal', String(thrown));
    } finally {
      if (!signal.aborted) joining.value = false;
    }
  }

  function leave(): void {
    current.abort();
    joining.value = false;
    void room.value?.leave();
    room.value = null;
  }

  watch(() => toValue(id), (name) => void join(name), { immediate: true });
  onScopeDispose(leave);
  return {
    room: shallowReadonly(room), error: shallowReadonly(error), joining: shallowReadonly(joining),
    retry: () => void join(toValue(id)),
  };
}
