import { computed, markRaw, onScopeDispose, shallowReadonly, shallowRef, toRaw, toValue, watch } from 'vue';
import type { MaybeRefOrGetter } from 'vue';
import { ClientError } from '../client/index';
import type { Chat, ClientErrorLike, Message, Outgoing, Person, Room, Thread, ThreadState, ThreadSummary } from '../client/index';
import { useClient } from './client';
import { useReadable } from './readable';

const noMessages: readonly Message[] = [];
const nobody: readonly Person[] = [];
const noThreads: readonly ThreadSummary[] = [];
const noMarks: ReadonlyMap<string, number> = new Map();

/** A room's chat as refs; the functions are those of `room.chat`, and do nothing without a room. */
export function useChat(room: MaybeRefOrGetter<Room | null | undefined>) {
  return chatRefs(() => toRaw(toValue(room))?.chat);
}

export type ChatHandle = ReturnType<typeof useChat>;

function chatRefs(chat: () => Chat | undefined) {
  return {
    log: useReadable(() => chat()?.log, noMessages),
    more: useReadable(() => chat()?.more, false),
    typing: useReadable(() => chat()?.typing, nobody),
    unread: useReadable(() => chat()?.unread, 0),
    firstUnread: useReadable(() => chat()?.firstUnread, 0),
    readMarks: useReadable(() => chat()?.readMarks, noMarks),
    send: (text: string, options?: { replyTo?: number; mentions?: readonly string[] }): Outgoing | undefined => chat()?.send(text, options),
    edit: async (seq: number, text: string): Promise<void> => chat()?.edit(seq, text),
    remove: async (seq: number): Promise<void> => chat()?.remove(seq),
    react: async (seq: number, emoji: string, on?: boolean): Promise<void> => chat()?.react(seq, emoji, on),
    setTyping: (typing?: boolean): void => chat()?.setTyping(typing),
    markRead: (seq?: number): void => chat()?.markRead(seq),
    readBy: (seq: number): readonly string[] => chat()?.readBy(seq) ?? [],
    loadOlder: async (limit?: number): Promise<boolean> => (await chat()?.loadOlder(limit)) ?? false,
    clear: async (): Promise<void> => chat()?.clear(),
  };
}

/** The threads of a room that we may see, the one with the newest message first. */
export function useThreads(room: MaybeRefOrGetter<Room | null | undefined>) {
  return useReadable(() => toRaw(toValue(room))?.threads, noThreads);
}

/**
 * One thread of a room: what useChat has, of the thread. It is followed as long as the scope lives; another
 * name changes threads, an empty one is none.
 */
export function useThread(
  room: MaybeRefOrGetter<Room | null | undefined>, name: MaybeRefOrGetter<string | { readonly private: string }>,
) {
  const thread = shallowRef<Thread | null>(null);
  /** Why there is no thread: the module could not be loaded, or the server has refused a private one. */
  const failure = shallowRef<ClientErrorLike | null>(null);
  let turn = 0;

  async function open(of: Room | null | undefined, called: string | { readonly private: string }): Promise<void> {
    close();
    if (!of || called === '') return;
    const mine = ++turn;
    try {
      const opened = await of.thread(called);
      if (mine === turn) thread.value = markRaw(opened);
      else opened.close();
    } catch (thrown) {
      if (mine === turn) failure.value = ClientError.from(thrown, 'network');
    }
  }

  function close(): void {
    turn++;
    thread.value?.close();
    thread.value = null;
    failure.value = null;
  }

  watch([() => toRaw(toValue(room)), () => toValue(name)], ([of, called]) => void open(of, called), { immediate: true });
  onScopeDispose(close);
  const state = useReadable(() => thread.value?.state, 'opening' as ThreadState);
  const error = useReadable(() => thread.value?.error, null);
  return {
    ...chatRefs(() => thread.value?.chat),
    /** Null until it is there; its name is known then, also that of a private one. */
    thread: shallowReadonly(thread),
    name: computed(() => thread.value?.name ?? ''),
    state: computed(() => (failure.value ? 'closed' : state.value)),
    error: computed(() => failure.value ?? error.value),
  };
}

/** All own messages that are not stored yet. */
export function useOutbox(client = useClient()) {
  return useReadable(client.outbox);
}
