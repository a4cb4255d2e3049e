import { describe, expect, it } from 'vitest';
import { BlockCache, safeLink, splitMentions } from './blocks';

describe('BlockCache', () => {
  const text = '# Title\n\nA paragraph.\n\n```js\nlet a = 1;\n\nlet b = 2;\n```\n\n- one\n- two\n\nThe **end**.';

  it('gives the same blocks for a text in one piece and in steps', () => {
    const whole = new BlockCache().split(text).map((block) => block.raw);
    const growing = new BlockCache();
    let last: string[] = [];
    for (let end = 1; end <= text.length; end++) last = growing.split(text.slice(0, end)).map((block) => block.raw);
    expect(last.join('')).toBe(whole.join(''));
    expect(growing.split(text).map((block) => block.token.type)).toEqual(new BlockCache().split(text).map((block) => block.token.type));
  });

  it('does not read a finished block again', () => {
    const cache = new BlockCache();
    const before = cache.split(text)[0];
    expect(cache.split(`${text} More.`)[0]).toBe(before);
  });

  it('starts over when the text was replaced', () => {
    const cache = new BlockCache();
    cache.split(text);
    expect(cache.split('short').map((block) => block.raw)).toEqual(['short']);
  });
});

describe('safeLink', () => {
  it.each([
    ['https://example.org/a?b=c', 'https://example.org/a?b=c'],
    ['mailto:ada@example.org', 'mailto:ada@example.org'],
    ['javascript:alert(1)', null],
    ['JaVaScRiPt:alert(1)', null],
    ['data:text/html,x', null],
    ['/etc/passwd', null],
    ['vbscript:x', null],
  ])('%s', (href, want) => expect(safeLink(href)).toBe(want));
});

describe('splitMentions', () => {
  const mentioned = (text: string, names: string[]) => splitMentions(text, names).filter((part) => part.mention).map((part) => part.text);

  it('prefers the longer name', () => expect(mentioned('hi @Ann Lee!', ['Ann', 'Ann Lee'])).toEqual(['@Ann Lee']));
  it('takes whole words only', () => expect(mentioned('a@Ann @Anna', ['Ann'])).toEqual([]));
  it('keeps every character', () =>
    expect(splitMentions('x @Ann y', ['Ann']).map((part) => part.text).join('')).toBe('x @Ann y'));
  it('takes a name with signs literally', () => expect(mentioned('@a.b and @axb', ['a.b'])).toEqual(['@a.b']));
});
