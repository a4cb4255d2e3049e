import { Lexer, type Token } from 'marked';

/** One top-level block of a text: its tokens, and the source that makes it recognisable. */
export interface Block {
  readonly raw: string;
  readonly token: Token;
}

const lex = (text: string): Block[] =>
  new Lexer({ gfm: true, breaks: true }).lex(text).map((token) => ({ raw: token.raw, token }));

/** Blocks at the end that more text may still change: an open list, a fence, a paragraph. */
const open = 2;

/**
 * Splits a growing text into blocks. All but the last ones are frozen, so that an answer of 20 KB
 * that arrives in small steps is not read again from its start with each step.
 */
export class BlockCache {
  #frozen: Block[] = [];
  #prefix = '';

  split(text: string): readonly Block[] {
    if (!text.startsWith(this.#prefix)) {
      this.#frozen = [];
      this.#prefix = '';
    }
    const tail = lex(text.slice(this.#prefix.length));
    const blocks = [...this.#frozen, ...tail];
    // marked normalises line ends and tabs; a raw that differs from the source can't be cut off by length.
    const settled = tail.slice(0, -open);
    const length = settled.reduce((sum, block) => sum + block.raw.length, 0);
    const source = text.slice(this.#prefix.length, this.#prefix.length + length);
    if (length > 0 && source === settled.map((block) => block.raw).join('')) {
      this.#frozen = [...this.#frozen, ...settled];
      this.#prefix += source;
    }
    return blocks;
  }
}

const schemes = new Set(['http:', 'https:', 'mailto:']);

/** The link when it is one that may be followed, else null. Relative links have no meaning in a chat. */
export function safeLink(href: string): string | null {
  try {
    const url = new URL(href);
    return schemes.has(url.protocol) ? url.href : null;
  } catch {
    // Not an absolute URL.
    return null;
  }
}

export interface TextPart {
  readonly text: string;
  readonly mention: boolean;
}

/** Cuts `text` where one of `names` is mentioned as "@name"; longer names win over their beginnings. */
export function splitMentions(text: string, names: readonly string[]): TextPart[] {
  const known = names.filter(Boolean).sort((a, b) => b.length - a.length);
  if (known.length === 0 || !text.includes('@')) return [{ text, mention: false }];
  const escaped = known.map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}_])@(?:${escaped.join('|')})(?![\\p{L}\\p{N}_])`, 'giu');
  const parts: TextPart[] = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    if (match.index > end) parts.push({ text: text.slice(end, match.index), mention: false });
    parts.push({ text: match[0], mention: true });
    end = match.index + match[0].length;
  }
  if (end < text.length) parts.push({ text: text.slice(end), mention: false });
  return parts;
}
