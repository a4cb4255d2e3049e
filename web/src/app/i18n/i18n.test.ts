import { describe, expect, it } from 'vitest';
import arBots from './ar.bots.json';
import arDoor from './ar.door.json';
import arEntry from './ar.entry.json';
import arRoom from './ar.json';
import enBots from './en.bots.json';
import enDoor from './en.door.json';
import enEntry from './en.entry.json';
import enRoom from './en.json';
import { format, type Message } from './index';

const ar = { ...arEntry, ...arRoom, ...arBots, ...arDoor };
const en = { ...enEntry, ...enRoom, ...enBots, ...enDoor };

const gaps = (message: Message): string[] => {
  const texts = typeof message === 'string' ? [message] : Object.values(message);
  return [...new Set(texts.join(' ').match(/\{\w+\}/g) ?? [])].filter((gap) => gap !== '{count}').sort();
};

describe('the Arabic translation', () => {
  it.each([
    ['the landing page', arEntry, enEntry],
    ['a room', arRoom, enRoom],
    ['bots', arBots, enBots],
    ['doors', arDoor, enDoor],
  ])('has the same messages of %s', (_, arabic, english) => expect(Object.keys(arabic).sort()).toEqual(Object.keys(english).sort()));

  it('has no message in two files', () => expect(Object.keys(en)).toHaveLength([enEntry, enRoom, enBots, enDoor].flatMap((part) => Object.keys(part)).length));

  it.each(Object.entries(ar as Record<string, Message>))('%s fills the same gaps', (key, message) => {
    expect(gaps(message)).toEqual(gaps(en[key as keyof typeof en]));
  });

  it('has a text for each of its six plurals', () => {
    const categories = new Intl.PluralRules('ar').resolvedOptions().pluralCategories.slice().sort();
    for (const message of Object.values(ar)) if (typeof message !== 'string') expect(Object.keys(message).sort()).toEqual(categories);
  });
});

describe('format', () => {
  const english = (count: number) => new Intl.PluralRules('en').select(count);

  it('fills gaps and leaves unknown ones visible', () => expect(format('{a} and {b}', { a: 'x' }, english)).toBe('x and {b}'));
  it.each([
    [0, '0 cats'],
    [1, '1 cat'],
    [2, '2 cats'],
  ])('%i', (count, want) => expect(format({ one: '{count} cat', other: '{count} cats' }, { count }, english)).toBe(want));
  it('falls back to other', () => expect(format({ other: 'x' }, { count: 1 }, english)).toBe('x'));
  it('does not read a name as a pattern', () => expect(format('{name}', { name: '$& {name}' }, english)).toBe('$& {name}'));
});
