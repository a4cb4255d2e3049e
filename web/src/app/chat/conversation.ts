import { inject, provide, type InjectionKey } from 'vue';
import type { Chat } from '../../client';
import { useCall } from '../room/call';

/** The timeline that a list of messages and its composer are about: the room's, or that of a thread. */
export interface Conversation {
  readonly chat: Chat;
  /** Name of the thread, empty for the room's own timeline. */
  readonly thread: string;
}

const key: InjectionKey<Conversation> = Symbol('conversation');

export const provideConversation = (conversation: Conversation): void => provide(key, conversation);

export function useConversation(): Conversation {
  const { chat } = useCall();
  return inject(key, { chat, thread: '' });
}
