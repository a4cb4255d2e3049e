import { nextTick, ref, type Ref, type ShallowRef } from 'vue';
import type { Chat, Message } from '../../client';

/** Pages back through the log while the eye stays on the same message. */
export function useHistory(chat: Chat, log: Readonly<ShallowRef<readonly Message[]>>): {
  /** True while the list grows at its beginning: the virtual list then keeps its distance from the end. */
  shift: Ref<boolean>;
  loading: Ref<boolean>;
  failed: Ref<boolean>;
  loadOlder: () => Promise<void>;
} {
  const shift = ref(false);
  const loading = ref(false);
  const failed = ref(false);

  async function loadOlder(): Promise<void> {
    if (loading.value || !chat.more.value || log.value.length === 0) return;
    loading.value = true;
    shift.value = true;
    try {
      await chat.loadOlder(50);
      failed.value = false;
    } catch (error) {
      console.debug('older messages did not come', error);
      failed.value = true;
    }
    await nextTick();
    shift.value = false;
    loading.value = false;
  }

  return { shift, loading, failed, loadOlder };
}
