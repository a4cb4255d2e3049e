/** Which key means what in a call: a pure reading of a keyboard event. */
export type Command = 'microphone' | 'camera' | 'share' | 'hand' | 'chat' | 'people' | 'bots' | 'pip' | 'stats' | 'help';

/** Letters alone; they can be switched off (WCAG 2.1.4), since speech input triggers them too. */
export const singleKeys: Readonly<Record<string, Command>> = {
  m: 'microphone',
  v: 'camera',
  s: 'share',
  h: 'hand',
  c: 'chat',
  p: 'people',
  b: 'bots',
  o: 'pip',
  i: 'stats',
  '?': 'help',
};

/** With Ctrl or Cmd: they work while typing too. */
export const modifiedKeys: Readonly<Record<string, Command>> = { d: 'microphone', e: 'camera' };
/** With Ctrl or Cmd and Alt, by physical key: Alt changes the letter on a Mac. */
export const alternateKeys: Readonly<Record<string, Command>> = { KeyS: 'share', KeyH: 'hand', KeyC: 'chat', KeyP: 'people', KeyB: 'bots' };

export interface KeyPress {
  readonly key: string;
  readonly code: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
  readonly repeat: boolean;
  readonly isComposing: boolean;
  /** AltGr reports Ctrl and Alt as well, but means a character. */
  readonly altGraph: boolean;
}

export interface Situation {
  /** The focus is where letters are text. */
  readonly typing: boolean;
  readonly singleKeys: boolean;
}

export function commandOf(press: KeyPress, { typing, singleKeys: single }: Situation): Command | null {
  if (press.repeat || press.isComposing || press.altGraph) return null;
  if (press.ctrlKey || press.metaKey) {
    if (press.altKey) return alternateKeys[press.code] ?? null;
    return modifiedKeys[press.key.toLowerCase()] ?? null;
  }
  if (press.altKey || typing || !single) return null;
  return singleKeys[press.key.toLowerCase()] ?? null;
}

/** Whether keys that are pressed with the focus on `element` are text for it. */
export function takesText(element: Element | null): boolean {
  if (!(element instanceof HTMLElement)) return false;
  return element.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName);
}

/** Whether the space bar presses `element`, so that it can't mean push-to-talk. */
export function takesSpace(element: Element | null): boolean {
  return takesText(element) || element?.closest('button, a, summary, [role^="menu"], [role="dialog"], [role="switch"]') != null;
}
