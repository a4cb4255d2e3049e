import type { Message, ThreadSummary } from '../../client';
import { list, t } from '../i18n';
import { dayName, sameDay, timeOfDay } from '../lib/time';
import { excerpt } from './rows';

/** The name of the thread on a message. */
export const threadOn = (message: Pick<Message, 'seq'>): string => `m${message.seq}`;

/** The message that a thread hangs on, 0 = none. */
export const rootOf = (thread: string): number => (/^m[1-9]\d*$/.test(thread) ? Number(thread.slice(1)) : 0);

/** Whether only two can see it. */
export const isPrivate = (thread: string): boolean => thread.startsWith('dm-');

export type Named = Pick<ThreadSummary, 'thread' | 'title' | 'with'>;

/** What a thread is called: by the message that it hangs on, or by those whom nobody else hears in it. */
export function titleOf({ thread, title, with: pair }: Named, nameOf: (user: string) => string | undefined, self: string): string {
  if (pair) return list(pair.filter((user) => user !== self).map((user) => nameOf(user) ?? t('people.someone')));
  if (title) return excerpt(title, 80);
  return rootOf(thread) > 0 ? t('thread.untitled') : thread;
}

/** "last 12:04"; of another day with its name. */
export function lastOf({ last }: Pick<ThreadSummary, 'last'>, now = Date.now()): string {
  const time = sameDay(last.ts, now) ? timeOfDay(last.ts) : `${dayName(last.ts, now)} ${timeOfDay(last.ts)}`;
  return t('thread.last', { time });
}

/** "3 replies · last 12:04", and in words how many are not read. */
export function lineOf(summary: ThreadSummary, now = Date.now()): { text: string; label: string } {
  const text = `${t('thread.replies', { count: summary.messages })} · ${lastOf(summary, now)}`;
  const unread = summary.unread ?? 0;
  return { text, label: unread > 0 ? `${text}, ${t('thread.unread', { count: unread })}` : text };
}
