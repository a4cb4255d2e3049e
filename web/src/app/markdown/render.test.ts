import { createSSRApp, h } from 'vue';
import { renderToString } from 'vue/server-renderer';
import { describe, expect, it } from 'vitest';
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
