import { describe, expect, it } from 'vitest';
import { commandOf, type KeyPress } from './shortcuts';

const press = (key: string, more: Partial<KeyPress> = {}): KeyPress => ({
  key, code: `Key${key.toUpperCase()}`, ctrlKey: false, metaKey: false, altKey: false, repeat: false, isComposing: false, altGraph: false, ...more,
});
const free = { typing: false, singleKeys: true };

describe('commandOf', () => {
  it('reads letters', () => expect(commandOf(press('m'), free)).toBe('microphone'));
  it('reads capitals', () => expect(commandOf(press('M'), free)).toBe('microphone'));
  it('leaves letters to a text field', () => expect(commandOf(press('m'), { ...free, typing: true })).toBeNull());
  it('can be switched off', () => expect(commandOf(press('m'), { ...free, singleKeys: false })).toBeNull());
  it('ignores a held key', () => expect(commandOf(press('m', { repeat: true }), free)).toBeNull());
  it('ignores an input method', () => expect(commandOf(press('m', { isComposing: true }), free)).toBeNull());
  it('takes Ctrl+D while typing', () => expect(commandOf(press('d', { ctrlKey: true }), { ...free, typing: true })).toBe('microphone'));
  it('takes Cmd+E', () => expect(commandOf(press('e', { metaKey: true }), free)).toBe('camera'));
  it('takes Cmd+Alt+H by the physical key', () =>
    expect(commandOf(press('˙', { code: 'KeyH', metaKey: true, altKey: true }), free)).toBe('hand'));
  it('leaves AltGr characters alone', () =>
    expect(commandOf(press('€', { code: 'KeyC', ctrlKey: true, altKey: true, altGraph: true }), free)).toBeNull());
  it('leaves Ctrl+M alone', () => expect(commandOf(press('m', { ctrlKey: true }), free)).toBeNull());
});
