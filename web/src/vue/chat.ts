import { toRaw, toValue } from 'vue';
import type { MaybeRefOrGetter } from 'vue';
import type { Message, Outgoing, Person, Room } from '../client/index';
import { useClient } from './client';
import { useReadable } from './readable';

const noMessages: readonly Message[] = [];
const nobody: readonly Person[] = [];
const noMarks: ReadonlyMap<string, number> = new Map();

/** A room's chat as refs; the functions are those of `room.chat`, and do nothing without a room. */
export function useChat(room: MaybeRefOrGetter<Room | null | undefined>) {
  const chat = () => toRaw(toValue(room))?.chat;
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

/** All own messages that are not stored yet. */
export function useOutbox(client = useClient()) {
  return useReadable(client.outbox);
}
