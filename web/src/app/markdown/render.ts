import { h, type VNode } from 'vue';
import type { Token, Tokens } from 'marked';
import { t } from '../i18n';
import { safeLink, splitMentions } from './blocks';

/**
 * Tokens to vnodes. No HTML is ever parsed: markup that a person writes is shown as the text it is,
 * and images are links, so that reading a message asks no foreign server for anything.
 */
export type Child = VNode | string;

export interface Context {
  /** Names that are shown as mentions after an "@". */
  readonly names: readonly string[];
  /** Set where a bot has written, whom nobody trusts: what its links do, which then lead nowhere by themselves. */
  readonly links?: AnswerLinks;
}

export interface AnswerLinks {
  /** Goes to the message that an answer rests on. */
  cite(seq: number): void;
  /** Asks whether that address shall be opened. */
  open(address: string): void;
}

/** Text keeps its gaps; only what marked leaves escaped for HTML is turned back. */
const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'", nbsp: '\u00a0' };
const plain = (text: string): string => text.replace(/&(amp|lt|gt|quot|#39|nbsp);/g, (_, name: string) => entities[name] ?? _);

function inlineAll(tokens: readonly Token[] | undefined, context: Context): Child[] {
  return (tokens ?? []).flatMap((token) => inline(token, context));
}

function textParts(text: string, context: Context): Child[] {
  return splitMentions(plain(text), context.names).map((part) =>
    part.mention ? h('span', { class: 'rounded bg-accent-soft px-1 font-semibold text-accent-strong' }, part.text) : part.text,
  );
}

function link(href: string, children: Child[], { links }: Context): Child[] {
  if (links) return inert(href, children, links);
  const url = safeLink(href);
  if (url === null) return children;
  return [
    h(
      'a',
      {
        href: url,
        target: '_blank',
        rel: 'noopener noreferrer nofollow',
        class: 'text-accent-strong underline underline-offset-2 break-words',
        dir: 'auto',
      },
      children,
    ),
  ];
}

/** What a link says and where it leads can differ: both are shown, and opening it is a step of its own. */
function inert(href: string, children: Child[], links: AnswerLinks): Child[] {
  const cited = /^#m(\d+)$/.exec(href)?.[1];
  const button = (testid: string, press: () => void, label: string | undefined, content: Child[]): VNode =>
    h('button', { type: 'button', class: 'rounded font-medium text-accent-strong underline underline-offset-2', 'data-testid': testid, 'aria-label': label, onClick: press }, content);
  if (cited) return [button('citation', () => links.cite(Number(cited)), undefined, children)];
  const url = safeLink(href);
  const address = h('bdi', { dir: 'ltr', class: 'font-mono text-[0.85em] break-all text-muted' }, url ?? href);
  const same = children.length === 1 && children[0] === href;
  return [
    ...(same ? [] : [...children, ' ']),
    address,
    ...(url === null ? [] : [' ', button('open-link', () => links.open(url), t('answer.openAddress', { address: url }), [t('answer.open')])]),
  ];
}

function inline(token: Token, context: Context): Child[] {
  switch (token.type) {
    case 'strong':
      return [h('strong', { class: 'font-semibold' }, inlineAll(token.tokens, context))];
    case 'em':
      return [h('em', inlineAll(token.tokens, context))];
    case 'del':
      return [h('del', inlineAll(token.tokens, context))];
    case 'codespan':
      return [h('code', { class: 'rounded bg-hover px-1 py-0.5 font-mono text-[0.9em] break-words' }, plain((token as Tokens.Codespan).text))];
    case 'br':
      return [h('br')];
    case 'link':
      return link((token as Tokens.Link).href, inlineAll(token.tokens, context), context);
    case 'image': {
      const image = token as Tokens.Image;
      return link(image.href, [image.text || image.href], context);
    }
    case 'checkbox':
      return [];
    case 'text':
      return token.tokens ? inlineAll(token.tokens, context) : textParts((token as Tokens.Text).text, context);
    case 'escape':
      return [(token as Tokens.Escape).text];
    default:
      return [token.raw];
  }
}

/** One top-level block. */
export function block(token: Token, context: Context): Child[] {
  switch (token.type) {
    case 'space':
    case 'def':
      return [];
    case 'heading':
      // Not a heading element: a message must not add to the outline of the page.
      return [h('p', { class: 'font-semibold', dir: 'auto' }, inlineAll(token.tokens, context))];
    case 'paragraph':
      return [h('p', { class: 'break-words', dir: 'auto' }, inlineAll(token.tokens, context))];
    case 'code':
      return [codeBlock(token as Tokens.Code)];
    case 'hr':
      return [h('hr', { class: 'border-line' })];
    case 'blockquote':
      return [h('blockquote', { class: 'border-s-2 border-control ps-3 text-muted' }, blocks(token.tokens, context))];
    case 'list':
      return [list(token as Tokens.List, context)];
    case 'table':
      return [table(token as Tokens.Table, context)];
    case 'text':
      return inline(token, context);
    case 'html':
      return [h('p', { class: 'break-words whitespace-pre-wrap', dir: 'auto' }, token.raw.trimEnd())];
    default:
      return inline(token, context);
  }
}

function blocks(tokens: readonly Token[] | undefined, context: Context): Child[] {
  return (tokens ?? []).flatMap((token) => block(token, context));
}

function codeBlock(token: Tokens.Code): VNode {
  return h(
    'pre',
    // Focusable, so that a long line can be scrolled by keyboard.
    { class: 'overflow-x-auto rounded-xl bg-sunken border border-line p-3 font-mono text-[0.8125rem] leading-relaxed', dir: 'ltr', tabindex: 0 },
    [h('code', token.text)],
  );
}

function list(token: Tokens.List, context: Context): VNode {
  const items = token.items.map((item) =>
    h('li', { class: 'ps-1' }, [
      ...(item.task ? [item.checked ? '\u2611 ' : '\u2610 '] : []),
      ...blocks(item.tokens, context),
    ]),
  );
  return token.ordered
    ? h('ol', { class: 'list-decimal ps-6 space-y-0.5', dir: 'auto', start: token.start === '' ? undefined : token.start }, items)
    : h('ul', { class: 'list-disc ps-5 space-y-0.5', dir: 'auto' }, items);
}

function table(token: Tokens.Table, context: Context): VNode {
  const cell = (tag: 'th' | 'td') => (entry: Tokens.TableCell) =>
    h(tag, { class: 'border border-line px-2 py-1 text-start', dir: 'auto' }, inlineAll(entry.tokens, context));
  return h('div', { class: 'overflow-x-auto', tabindex: 0 }, [
    h('table', { class: 'border-collapse text-sm' }, [
      h('thead', h('tr', token.header.map(cell('th')))),
      h('tbody', token.rows.map((row) => h('tr', row.map(cell('td'))))),
    ]),
  ]);
}
