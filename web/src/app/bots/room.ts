import { computed, onScopeDispose, ref, shallowReactive, watch, type Ref } from 'vue';
import type { Bot, Room } from '../../client';
import { useBots } from '../../vue';

/** What every part of the room needs to know of its bots. */
export interface RoomBots extends ReturnType<typeof useBots> {
  /** The bot that speaks as `user`, undefined for people. */
  of(user: string): Bot | undefined;
  /** Bot -> Unix ms from which it may be asked again, as the server has said. */
  readonly waits: ReadonlyMap<string, number>;
  /** Does what asks `bot` for something, and keeps how long it wants to be left alone. Rejects with what `ask` rejects with. */
  asking<T>(bot: string, ask: () => Promise<T>): Promise<T>;
  /** An address in an answer that somebody wants to open, empty = none. */
  readonly opening: Ref<string>;
}

/** Where a limit does not say for how long. */
const shortWaitMs = 5_000;

export function useRoomBots(room: Room): RoomBots {
  const bots = useBots(room);
  const byUser = computed(() => new Map(bots.list.value.map((bot) => [bot.user, bot])));
  const waits = shallowReactive(new Map<string, number>());
  const timers = new Map<string, ReturnType<typeof setTimeout>>();
  function rest(bot: string, ms: number): void {
    clearTimeout(timers.get(bot));
    waits.set(bot, Date.now() + ms);
    timers.set(bot, setTimeout(() => waits.delete(bot), ms));
  }
  onScopeDispose(() => timers.forEach((timer) => clearTimeout(timer)));

  watch(bots.refusal, (refusal) => {
    if (refusal?.run.by.user === room.self.value.user && refusal.code === 'rate-limited') {
      rest(refusal.run.bot, refusal.retryAfterMs || shortWaitMs);
    }
  });

  return {
    ...bots,
    of: (user) => byUser.value.get(user),
    waits,
    async asking(bot, ask) {
      try {
        return await ask();
      } catch (error) {
        const after = retryAfter(error);
        if (after > 0) rest(bot, after);
        throw error;
      }
    },
    opening: ref(''),
  };
}

/** How long a limit wants us to wait, milliseconds; 0 = it is something else. */
function retryAfter(error: unknown): number {
  if (!(error instanceof Error) || !('code' in error) || error.code !== 'rate-limited') return 0;
  return 'retryAfterMs' in error && typeof error.retryAfterMs === 'number' ? error.retryAfterMs : shortWaitMs;
}
