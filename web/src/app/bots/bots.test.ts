import { beforeAll, describe, expect, it } from 'vitest';
import type { Message, RunProgress, RunReceipt, ToolStep } from '../../client';
import { loadTexts } from '../i18n';
import { replacedBy, standsFor } from './replaced';
import { argumentsOf, decision, doing, duration, failureWords, inputOf, receiptLine, shortened, visible } from './words';

beforeAll(async () => { await loadTexts('room'); await loadTexts('bots'); });

const step = (state: ToolStep['state'], more: Partial<ToolStep> = {}): ToolStep => ({
  call: 'c', tool: 'search_messages', title: 'Searches the chat', input: {}, state, digest: '', decidedBy: '', output: '', error: '', ms: 0, ...more,
});
const progress = (more: Partial<RunProgress>): RunProgress => ({ phase: null, thinking: '', text: '', tools: [], whole: false, ...more });

describe('what a run is at', () => {
  it.each<[string, Partial<RunProgress>]>([
    ['Begins', {}],
    ['In the queue', { phase: 'queued' }],
    ['Reads the conversation', { phase: 'context' }],
    ['Waits for the model', { phase: 'model' }],
    ['Searches the chat…', { phase: 'model', tools: [step('done'), step('running')] }],
    ['Waits for a decision', { phase: 'model', tools: [step('asked')] }],
    ['Searches the chat…', { phase: 'approval', tools: [step('granted')] }],
    ['Writes', { text: 'We' }],
    ['Waits for the model', { text: 'We', phase: 'model', tools: [step('denied')] }],
    ['Finishes', { text: 'We', whole: true }],
  ])('%s', (words, change) => expect(doing(progress(change))).toBe(words));
});

describe('a receipt', () => {
  const receipt: RunReceipt = { run: 'r', bot: 'b', status: 'completed', by: { user: 'a', name: 'A', kind: 'human' }, model: 'built-in', ms: 340, firstTokenMs: 3 };
  it('says only what it knows', () => expect(receiptLine(receipt)).toBe('built-in · 340 ms'));
  it('is one line', () =>
    expect(receiptLine({ ...receipt, model: 'm-1', ms: 2_340, cached: true, usage: { input: 1_200, output: 34 }, tools: [{ tool: 't', ok: true, ms: 1 }] })).toBe('m-1 · 2.3s · 1,234 tokens · 1 tool · from the cache'));
  it('rounds what takes long', () => expect(duration(61_700)).toBe('62s'));
  it('has words for what is not known', () => expect(failureWords('of-the-future')).toBe('Something went wrong on the server.'));
});

describe('a decision', () => {
  const name = (user: string): string => (user === 'ada' ? 'Ada' : '?');
  it.each<[ToolStep['state'], string]>([['asked', ''], ['granted', 'allowed by Ada'], ['done', 'allowed by Ada'], ['failed', 'allowed by Ada'], ['denied', 'not allowed by Ada'], ['expired', 'nobody decided in time']])(
    '%s', (state, words) => expect(decision(step(state, { digest: 'd', decidedBy: 'ada' }), name)).toBe(words),
  );
  it('is not told of tools that ask nobody', () => expect(decision(step('done'), name)).toBe(''));
});

describe('what a receipt keeps of a tool', () => {
  it.each<[string | undefined, unknown]>([[undefined, undefined], ['{"limit":50}', { limit: 50 }], [`{"title":"${'x'.repeat(490)}`, `{"title":"${'x'.repeat(490)}…`]])(
    'has its input, or the beginning of it: %j', (text, input) => expect(inputOf(text)).toEqual(input),
  );
  it('says where it is cut', () => {
    expect(shortened('😀'.repeat(499))).toBe('😀'.repeat(499));
    expect(shortened('😀'.repeat(500))).toBe(`${'😀'.repeat(500)}…`);
    expect(shortened(undefined)).toBe('');
  });
});

describe('what a tool is given', () => {
  it('stands in a line for each field, complete', () =>
    expect(argumentsOf({ title: 'Minutes', list: ['a', 1], none: null })).toEqual([
      { name: 'title', value: 'Minutes' }, { name: 'list', value: '[\n  "a",\n  1\n]' }, { name: 'none', value: 'null' },
    ]));
  it.each([[['a'], '[\n  "a"\n]'], ['text', 'text'], [null, 'null'], [7, '7']])('is whole when it is no object: %j', (input, value) =>
    expect(argumentsOf(input)).toEqual([{ name: '', value }]));

  it.each([
    ['pay\u202Egnp.exe', 'pay⟨U+202E⟩gnp.exe'],
    ['ad\u200Bmin', 'ad⟨U+200B⟩min'],
    ['ad\u200Dmin', 'ad⟨U+200D⟩min'],
    ['a\u0000b\u{E0041}', 'a⟨U+0000⟩b⟨U+E0041⟩'],
    ['two\n\tlines', 'two\n\tlines'],
    ['👩\u200D🚀 ❤\uFE0F', '👩\u200D🚀 ❤\uFE0F'],
    ['می\u200Cخواهم', 'می\u200Cخواهم'],
  ])('hides nothing: %j', (text, want) => expect(visible(text)).toBe(want));
});

describe('answers given anew', () => {
  const message = (seq: number, replaces: number) => ({ seq, deleted: false, run: { replaces, status: 'completed' } }) as Message;
  it('are found by any of them', () => {
    const newer = replacedBy([message(1, 0), message(2, 1), message(3, 2)]);
    expect([1, 2, 3, 9].map((seq) => standsFor(seq, newer))).toEqual([3, 3, 3, 9]);
  });
  it('that go round in a circle end', () => expect(standsFor(1, new Map([[1, 2], [2, 1]]))).toBeGreaterThan(0));
});
