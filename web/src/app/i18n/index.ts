import { computed, shallowRef } from 'vue';
import type bots from './en.bots.json';
import type door from './en.door.json';
import entry from './en.entry.json';
import type room from './en.json';
import { storage } from '../lib/storage';

/** A message: text with `{name}` gaps, or one text per plural category, chosen by `count`. */
export type Message = string | Partial<Record<Intl.LDMLPluralRule, string>>;
export type MessageKey = keyof typeof entry | keyof typeof room | keyof typeof bots | keyof typeof door;
export type Params = Readonly<Record<string, string | number>>;

/** Languages with a complete translation, each under its own name. */
export const languages = { en: 'English', ar: 'العربية' } as const;
export type Language = keyof typeof languages;

/** What the landing page says is there from the start; what a room says comes with it, what bots and doors say with the first of them. */
type Part = 'entry' | 'room' | 'bots' | 'door';
type Texts = Partial<Record<MessageKey, Message>>;

const loaders: Record<Language, Record<Part, () => Promise<Texts>>> = {
  en: {
    entry: () => Promise.resolve(entry),
    room: () => import('./en.json').then((module) => module.default),
    bots: () => import('./en.bots.json').then((module) => module.default),
    door: () => import('./en.door.json').then((module) => module.default),
  },
  ar: {
    entry: () => import('./ar.entry.json').then((module) => module.default),
    room: () => import('./ar.json').then((module) => module.default),
    bots: () => import('./ar.bots.json').then((module) => module.default),
    door: () => import('./ar.door.json').then((module) => module.default),
  },
};

const parts = new Set<Part>(['entry']);
const current = shallowRef<Language>('en');
const messages = shallowRef<Texts>(entry);
const plurals = computed(() => new Intl.PluralRules(current.value));
const numbers = computed(() => new Intl.NumberFormat(current.value));

export const language = computed(() => current.value);
export const direction = computed(() => directionOf(current.value));

/** Fills the gaps of `message`; pure, so that it is tested without the app. */
export function format(
  message: Message,
  params: Params,
  category: (count: number) => Intl.LDMLPluralRule,
  number: (value: number) => string = String,
): string {
  const text = typeof message === 'string' ? message : (message[category(Number(params.count))] ?? message.other ?? '');
  return text.replace(/\{(\w+)\}/g, (gap, name: string) => {
    const value = params[name];
    if (value === undefined) return gap;
    return typeof value === 'number' ? number(value) : value;
  });
}

/** `text` as a part of a sentence of the current language, whatever it is written in (Unicode UAX 9, 2.4). */
export const isolated = (text: string): string => (direction.value === 'rtl' ? `\u2068${text}\u2069` : text);

/** Keeps a name of the other direction from reordering the sentence around it (Unicode UAX 9, 2.4). */
function isolate(params: Params): Params {
  return Object.fromEntries(
    Object.entries(params).map(([name, value]) => [name, typeof value === 'string' ? `\u2068${value}\u2069` : value]),
  );
}

/** The text of `key` in the current language. Reactive when called in a render or a computed. */
export function t(key: MessageKey, params: Params = {}): string {
  return format(
    messages.value[key] ?? key,
    direction.value === 'rtl' ? isolate(params) : params,
    (count) => plurals.value.select(count),
    (value) => numbers.value.format(value),
  );
}

/** "Ada, Grace and Alan" in the current language. */
export function list(names: readonly string[]): string {
  return new Intl.ListFormat(current.value, { type: 'conjunction' }).format(names);
}

export function preferredLanguage(): Language {
  const wanted = [storage.get('language') ?? '', ...navigator.languages];
  for (const tag of wanted) {
    const base = tag.slice(0, 2);
    if (base in languages) return base as Language;
  }
  return 'en';
}

async function load(tag: Language): Promise<Texts> {
  const texts = await Promise.all([...parts].map((part) => loaders[tag][part]()));
  return Object.assign({}, ...texts) as Texts;
}

/** Loads what a part says, in the present language; call before the first text of it is shown. */
export async function loadTexts(part: Part): Promise<void> {
  parts.add(part);
  for (;;) {
    const tag = current.value;
    const texts = await load(tag);
    if (tag !== current.value) continue;
    messages.value = texts;
    return;
  }
}

/** Loads and applies a language; `remember` keeps it for the next visit. */
export async function setLanguage(next: Language, remember = true): Promise<void> {
  messages.value = await load(next);
  current.value = next;
  document.documentElement.lang = next;
  document.documentElement.dir = directionOf(next);
  if (remember) storage.set('language', next);
}

type TextInfoLocale = Intl.Locale & { getTextInfo?: () => { direction: 'ltr' | 'rtl' } };

function directionOf(tag: Language): 'ltr' | 'rtl' {
  // getTextInfo is missing in some browsers; Arabic is the only language here written from the right.
  const locale: TextInfoLocale = new Intl.Locale(tag);
  return locale.getTextInfo?.().direction ?? (tag === 'ar' ? 'rtl' : 'ltr');
}
