import type { Message } from '../../client';

/** A message with what is drawn around it. */
export interface Row {
  readonly message: Message;
  /** A day begins here. */
  readonly day: boolean;
  /** The author's name and picture stand above it. */
  readonly head: boolean;
  /** The line "new messages" stands above it. */
  readonly unread: boolean;
}

const together = 5 * 60_000;

/** `unreadFrom`: seq of the first message that was not read, 0 = none. */
export function rowsOf(log: readonly Message[], unreadFrom: number): Row[] {
  return log.map((message, index) => {
    const before = log[index - 1];
    const day = !before || new Date(before.at).toDateString() !== new Date(message.at).toDateString();
    const unread = unreadFrom > 0 && message.seq === unreadFrom;
    const head =
      day || unread || message.replyTo > 0 || before.author.user !== message.author.user || message.at - before.at > together;
    return { message, day, head, unread };
  });
}

/** First line of a text for a quote, without its markup signs. */
export function excerpt(text: string, longest = 120): string {
  const line = text
    .replace(/```[^\n]*\n?/g, '')
    .replace(/^\s*(?:>\s?|(?:#{1,6}|[-+*]|\d+[.)])\s+)*/gm, '')
    .replace(/[*_`~]+/g, '')
    .replace(/\s+/g, ' ')
    .trim();
  return line.length > longest ? `${line.slice(0, longest).trimEnd()}…` : line;
}
