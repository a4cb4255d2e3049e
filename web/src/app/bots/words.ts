import type { Bot, RunProgress, RunReceipt, ToolStep } from '../../client';
import { language, t, type MessageKey } from '../i18n';
import { milliseconds } from '../lib/numbers';

/** "built-in", or the model's name. */
export const engineName = (engine: string): string => (engine === 'built-in' || engine === '' ? t('answer.builtIn') : engine);

export const toolName = ({ title, tool }: { readonly title?: string; readonly tool: string }): string => title || tool;

/** What a run is at, in words. */
export function doing({ phase, text, tools, whole }: RunProgress): string {
  const running = tools.findLast((step) => step.state === 'running' || step.state === 'granted');
  if (tools.some((step) => step.state === 'asked')) return t('bots.phase.approval');
  if (running) return t('bots.phase.tool', { tool: toolName(running) });
  if (whole) return t('bots.phase.storing');
  if (phase !== null) return t(`bots.phase.${phase}`);
  return t(text === '' ? 'bots.phase.started' : 'bots.phase.writing');
}

const seconds = (ms: number): string =>
  new Intl.NumberFormat(language.value, { style: 'unit', unit: 'second', unitDisplay: 'narrow', maximumFractionDigits: ms < 10_000 ? 1 : 0 }).format(ms / 1000);

/** 840 -> "840 ms", 12400 -> "12s". */
export const duration = (ms: number): string => (ms < 1000 ? milliseconds(ms) : seconds(ms));

/** How an answer came about, in a line. */
export function receiptLine({ model, cached, usage, ms, tools }: RunReceipt): string {
  return [
    engineName(model),
    duration(ms),
    ...(usage ? [t('bots.tokens', { count: usage.input + usage.output })] : []),
    ...(tools?.length ? [t('bots.toolsShort', { count: tools.length })] : []),
    ...(cached ? [t('bots.cached')] : []),
  ].join(' · ');
}

const failures: Partial<Record<string, MessageKey>> = {
  timeout: 'bots.failure.timeout',
  unavailable: 'bots.failure.unavailable',
  'rate-limited': 'bots.failure.rate-limited',
  'bot-failed': 'bots.failure.bot-failed',
  'too-large': 'bots.failure.too-large',
  forbidden: 'bots.failure.forbidden',
};

/** When a bot may be asked again, `seconds` from now. */
export const waitWords = (name: string, seconds: number): string =>
  seconds < 120 ? t('bots.wait.seconds', { name, count: seconds }) : t('bots.wait.minutes', { name, count: Math.ceil(seconds / 60) });

/** Why there is no answer, or only a part of one. */
export const failureWords = (code: string | undefined): string => t(failures[code ?? ''] ?? 'bots.failure.other');

/** What a person's word on a tool was; empty while there is none. */
export function decision({ state, digest, decidedBy }: ToolStep, nameOf: (user: string) => string): string {
  if (digest === '' || state === 'asked') return '';
  if (state === 'expired') return t('bots.approval.expired');
  return t(state === 'denied' ? 'bots.approval.denied' : 'bots.approval.granted', { name: nameOf(decidedBy) });
}

/** How much one person may ask of a bot, and a room. */
export function limitWords({ requestsPerMinute = 0, concurrent = 0, tokensPerDay = 0, userTokensPerDay = 0 }: Bot['limits']): string[] {
  return [
    ...(requestsPerMinute > 0 ? [t('bots.limit.minute', { count: requestsPerMinute })] : []),
    ...(concurrent > 0 ? [t('bots.limit.concurrent', { count: concurrent })] : []),
    ...(tokensPerDay > 0 ? [t('bots.limit.tokens', { count: tokensPerDay })] : []),
    ...(userTokensPerDay > 0 ? [t('bots.limit.yourTokens', { count: userTokensPerDay })] : []),
  ];
}

/**
 * Signs that are not seen, or change the order of others (Unicode UAX 9 and UTS 39), but for line ends and those that
 * join the parts of an emoji or Arabic letters.
 */
const hidden = new RegExp(
  [
    String.raw`(?![\n\t]|(?<=[\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f])\u200d|(?<=\p{Script=Arabic})[\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u034f\u115f\u1160\u3164\uffa0]`,
    String.raw`(?<!\p{Emoji})[\ufe00-\ufe0f]`,
    String.raw`[\u{e0100}-\u{e01ef}]`,
  ].join('|'),
  'gu',
);

/** `text` with nothing in it that cannot be seen. */
export const visible = (text: string): string =>
  text.replace(hidden, (sign) => `⟨U+${(sign.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}⟩`);

export interface Argument {
  readonly name: string;
  readonly value: string;
}

/** Of a text in a receipt there is the beginning, of so many characters (Unicode code points). */
const receiptChars = 500;

/** A text of a receipt, with a mark where it was cut. */
export const shortened = (text = ''): string => (Array.from(text).length < receiptChars ? text : `${text}…`);

/** What went into a tool, as a receipt has it: JSON, of which there may be the beginning only; undefined when it has nothing. */
export function inputOf(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return shortened(text);
  }
}

/** What a tool is given, complete: a line for each field of an object, else all of it in one. */
export function argumentsOf(input: unknown): Argument[] {
  const show = (value: unknown): string => visible(typeof value === 'string' ? value : (JSON.stringify(value, null, 2) ?? ''));
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return [{ name: '', value: show(input) }];
  return Object.entries(input).map(([name, value]) => ({ name: visible(name), value: show(value) }));
}
