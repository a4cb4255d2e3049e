import type { Message, Run } from '../../client';
import { earlierOf, replacedBy } from '../bots/replaced';

/** A message with what is drawn around it. */
export interface Row {
  readonly message: Message;
  /** A day begins here. */
  readonly day: boolean;
  /** The author's name and picture stand above it. */
  readonly head: boolean;
  /** The line "new messages" stands above it. */
  readonly unread: boolean;
  /** The answer that is on its way, of which `message` says who gives it; its text is the run's. */
  readonly run: Run | null;
  /** What this answer takes the place of, newest first. */
  readonly earlier: readonly Message[];
}

const none: readonly Message[] = [];

const together = 5 * 60_000;

/**
 * `unreadFrom`: seq of the first message that was not read, 0 = none. Answers on their way stand at the end; one that was
 * given anew is folded under the newer one.
 */
export function rowsOf(log: readonly Message[], unreadFrom: number, runs: readonly Run[] = []): Row[] {
  const newer = replacedBy(log);
  const shown = newer.size > 0 ? log.filter((message) => !newer.has(message.seq)) : log;
  const rows = shown.map((message, index): Row => {
    const before = shown[index - 1];
    const day = !before || new Date(before.at).toDateString() !== new Date(message.at).toDateString();
    const unread = unreadFrom > 0 && message.seq === unreadFrom;
    const head =
      day || unread || message.replyTo > 0 || message.run !== undefined || before.author.user !== message.author.user || message.at - before.at > together;
    return { message, day, head, unread, run: null, earlier: message.run?.replaces ? earlierOf(message, log) : none };
  });
  return runs.length > 0 ? [...rows, ...runs.map(answerRow)] : rows;
}

function answerRow(run: Run): Row {
  const { id, author, replyTo, startedAt } = run;
  const message: Message = {
    key: id, seq: 0, author, isOwn: false, text: '', at: startedAt, edited: null, deleted: false, replyTo, mentions: [], reactions: {},
    status: 'sent', outgoing: null,
  };
  return { message, day: false, head: true, unread: false, run, earlier: none };
}

/** First line of a text for a quote, without its markup signs. */
export function excerpt(text: string, longest = 120): string {
  const line = text
    .replace(/```[^\n]*\n?/g, '')
    .replace(/\[([^\]\n]*)\]\(#m\d+\)/g, '$1')
    .replace(/^\s*(?:>\s?|(?:#{1,6}|[-+*]|\d+[.)])\s+)*/gm, '')
    .replace(/[*_`~]+/g, '')
    .replace(/\s+/g, ' ')
    .trim();
  return line.length > longest ? `${line.slice(0, longest).trimEnd()}…` : line;
}
