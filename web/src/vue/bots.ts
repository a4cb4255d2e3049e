import { computed, toRaw, toValue } from 'vue';
import type { MaybeRefOrGetter } from 'vue';
import type { AskOptions, Bot, Caption, Message, Room, Run, RunProgress } from '../client/index';
import { useReadable } from './readable';

const noBots: readonly Bot[] = [];
const noRuns: readonly Run[] = [];
const noCaptions: readonly Caption[] = [];
const nothing: RunProgress = { phase: null, thinking: '', text: '', tools: [], whole: false };

/**
 * The bots of a room as refs, and the runs of one timeline: the main one unless `thread` names another. The functions
 * are those of `room.bots`, and do nothing where there are none.
 */
export function useBots(room: MaybeRefOrGetter<Room | null | undefined>, thread: MaybeRefOrGetter<string> = '') {
  const bots = useReadable(() => toRaw(toValue(room))?.bots, null);
  const all = useReadable(() => bots.value?.runs, noRuns);
  return {
    /** Empty where the server has none, and until their part of the client is loaded. */
    list: useReadable(() => bots.value?.list, noBots),
    /** The last question that a bot did not take. */
    refusal: useReadable(() => bots.value?.refusal, null),
    /** Of all timelines. */
    all,
    runs: computed(() => all.value.filter((run) => run.thread === toValue(thread))),
    /** What is being said in the call. */
    captions: useReadable(() => bots.value?.captions, noCaptions),
    setVoice: async (bot: string, on: boolean): Promise<void> => bots.value?.setVoice(bot, on),
    setHearing: async (bot: string, on: boolean): Promise<void> => bots.value?.setHearing(bot, on),
    toggle: async (bot: string, on: boolean): Promise<void> => bots.value?.toggle(bot, on),
    ask: async (bot: string, prompt: string, options?: AskOptions): Promise<string> =>
      (await bots.value?.ask(bot, prompt, { thread: toValue(thread) || undefined, ...options })) ?? '',
    regenerate: async (answer: Pick<Message, 'seq' | 'run'>, options?: Pick<AskOptions, 'thread'>): Promise<string> =>
      (await bots.value?.regenerate(answer, { thread: toValue(thread) || undefined, ...options })) ?? '',
    cancel: async (run: string): Promise<void> => bots.value?.cancel(run),
    decide: async (run: string, call: string, digest: string, approve: boolean): Promise<void> => bots.value?.decide(run, call, digest, approve),
  };
}

/** What a run has come to. */
export function useRun(run: MaybeRefOrGetter<Run | null | undefined>) {
  return useReadable(() => toValue(run)?.progress, nothing);
}
