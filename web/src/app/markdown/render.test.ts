import { createRenderer, createSSRApp, h, nextTick, ref } from 'vue';
import { renderToString } from 'vue/server-renderer';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadTexts } from '../i18n';
import { MarkdownText } from './MarkdownText';

const html = (text: string, names: string[] = []) => renderToString(createSSRApp({ render: () => h(MarkdownText, { text, names }) }));

describe('MarkdownText', () => {
  it('shows raw HTML as text', async () => {
    const out = await html('<img src=x onerror=alert(1)> and <b>bold</b>');
    expect(out).not.toMatch(/<img|<b>/);
    expect(out).toContain('&lt;img src=x onerror=alert(1)&gt;');
  });

  it('drops links that run code and keeps their text', async () => {
    const out = await html('[press](javascript:alert(1))');
    expect(out).not.toContain('href');
    expect(out).toContain('press');
  });

  it('opens links apart and gives nothing away', async () => {
    expect(await html('see https://example.org')).toContain('rel="noopener noreferrer nofollow"');
  });

  it('loads no image', async () => {
    const out = await html('![a cat](https://example.org/cat.png)');
    expect(out).not.toContain('<img');
    expect(out).toContain('href="https://example.org/cat.png"');
  });

  it('keeps code as written', async () => {
    expect(await html('```\n<a> & "b"\n```')).toContain('&lt;a&gt; &amp; &quot;b&quot;');
  });

  it('marks mentions', async () => expect(await html('hi @Ada', ['Ada'])).toMatch(/<span[^>]*>@Ada<\/span>/));
  it('renders lists, tables and quotes', async () => {
    const out = await html('1. a\n2. b\n\n> q\n\n| x | y |\n|---|---|\n| 1 | 2 |');
    for (const tag of ['<ol', '<blockquote', '<table', '<td']) expect(out).toContain(tag);
  });
});

describe('what a bot has written', () => {
  beforeAll(() => loadTexts('room'));
  const links = { cite: () => undefined, open: () => undefined };
  const answer = (text: string) => renderToString(createSSRApp({ render: () => h(MarkdownText, { text, links }) }));
  const words = (out: string) => out.replace(/<[^>]*>/g, '').replace(/&amp;/g, '&');

  it.each([
    ['[the bank](https://evil.example/?a=1)', 'the bank https://evil.example/?a=1 open'],
    ['see https://example.org/x', 'see https://example.org/x open'],
    ['[https://bank.example](https://evil.example)', 'https://bank.example https://evil.example/ open'],
    ['![cat](https://example.org/cat.png)', 'cat https://example.org/cat.png open'],
    ['[а](https://раураl.example)', 'а https://xn--l-7sba6dbr.example/ open'],
    ['<https://example.org/a>', 'https://example.org/a open'],
  ])('leads nowhere by itself: %s', async (text, want) => {
    const out = await answer(text);
    expect(out).not.toMatch(/href|src=|<img|<a /);
    expect(words(out)).toBe(want);
  });

  it.each(['[x](javascript:alert(1))', '[x](data:text/html,1)', '[x](/r/other)'])('cannot be opened: %s', async (text) => {
    const out = await answer(text);
    expect(out).not.toMatch(/<button|href/);
    expect(words(out)).toContain(text.slice(4, -1));
  });

  it('cites messages', async () => {
    const out = await answer('as Ada said ([12:04](#m4711)), or [not](#m12x)');
    expect(out.match(/<button/g)).toHaveLength(1);
    expect(out).toMatch(/<button[^>]*data-testid="citation"[^>]*>12:04<\/button>/);
    expect(words(out)).toContain('not #m12x');
  });
});

it('changes the block that grows, and makes none anew', async () => {
  const made: string[] = [];
  const element = (tag: string) => { made.push(tag); return {}; };
  const noop = () => undefined;
  const renderer = createRenderer<object, object>({
    patchProp: noop, insert: noop, remove: noop, createElement: element, createText: () => ({}), createComment: () => ({}),
    setText: noop, setElementText: noop, parentNode: () => null, nextSibling: () => null,
  });
  const text = ref('# Title\n\nOne');
  renderer.createApp({ render: () => h(MarkdownText, { text: text.value }) }).mount({});
  expect(made).toEqual(['div', 'p', 'p']);
  for (const more of [' two', ' three', '\n\nNext']) {
    text.value += more;
    await nextTick();
  }
  expect(made).toEqual(['div', 'p', 'p', 'p']);
});
