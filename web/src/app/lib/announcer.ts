import { readonly, ref } from 'vue';

/**
 * What happens in the room, said by a screen reader. One polite live region for the whole app:
 * several would talk over each other. What comes within a second is said together.
 */
export type Announcement =
  | { readonly kind: 'joined' | 'left'; readonly name: string }
  | { readonly kind: 'message'; readonly name: string; readonly text: string }
  | { readonly kind: 'notice'; readonly text: string };

export interface Phrases {
  joined(names: readonly string[]): string;
  left(names: readonly string[]): string;
  message(name: string, text: string): string;
  messages(count: number): string;
}

const longest = 160;

/** Notices first, as they answer what the person just did; then who came and went; then the chat. */
export function coalesce(announcements: readonly Announcement[], phrases: Phrases): string {
  const names = (kind: 'joined' | 'left'): string[] =>
    announcements.flatMap((one) => (one.kind === kind ? [one.name] : []));
  const messages = announcements.filter((one) => one.kind === 'message');
  const notices = announcements.flatMap((one) => (one.kind === 'notice' ? [one.text] : []));

  const parts = [...new Set(notices)];
  if (names('joined').length > 0) parts.push(phrases.joined(names('joined')));
  if (names('left').length > 0) parts.push(phrases.left(names('left')));
  const first = messages[0];
  if (messages.length > 1) parts.push(phrases.messages(messages.length));
  else if (first) parts.push(phrases.message(first.name, shorten(first.text)));
  return parts.join(' ');
}

function shorten(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > longest ? `${line.slice(0, longest)}…` : line;
}

const spoken = ref('');
export const announcement = readonly(spoken);

let waiting: Announcement[] = [];
let timer: ReturnType<typeof setTimeout> | undefined;

export function announce(next: Announcement, phrases: Phrases): void {
  waiting.push(next);
  timer ??= setTimeout(() => {
    const text = coalesce(waiting, phrases);
    waiting = [];
    timer = undefined;
    // The same text twice is no change to a screen reader: a no-break space makes it one.
    spoken.value = text === spoken.value ? `${text}\u00a0` : text;
  }, 800);
}
