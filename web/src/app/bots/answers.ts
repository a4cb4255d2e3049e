import { watch } from 'vue';
import type { RoomBots } from './room';
import { loadAnswer } from './load';

/** Has what is seen of answers at hand before the first one comes. */
export function useAnswers(bots: RoomBots): void {
  watch(
    () => bots.runs.value.length > 0 || bots.list.value.some((bot) => bot.enabled),
    (near) => { if (near) loadAnswer().catch((error: unknown) => console.debug('answers are not there yet', error)); },
    { immediate: true },
  );
}
