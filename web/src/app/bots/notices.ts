import { watch } from 'vue';
import { notify } from '../lib/say';
import type { RoomBots } from './room';
import { loadAnswer } from './load';

/** Has what is seen of answers at hand before the first one comes, and says when a bot wants to be left alone. */
export function useBotNotices(bots: RoomBots): void {
  const load = () => loadAnswer().catch((error: unknown) => console.debug('answers are not there yet', error));

  watch(
    () => bots.runs.value.length > 0 || bots.list.value.some((bot) => bot.enabled),
    (near) => { if (near) void load(); },
    { immediate: true },
  );
  // Said once: what counts down on the screen must not be read out every second.
  watch(
    () => new Map(bots.waits),
    async (now, before) => {
      const words = await load();
      for (const [bot, until] of now) {
        const { name = bot } = bots.list.value.find((one) => one.bot === bot) ?? {};
        if (words && before.get(bot) !== until) notify(words.waitWords(name, Math.ceil((until - Date.now()) / 1_000)));
      }
    },
  );
}
