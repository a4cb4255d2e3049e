import { expect, it } from 'vitest';
import { featured } from './feature';

type View = Parameters<typeof featured>[0][number];
const screen = {} as View['screenFeed'];
const view = (id: string, more: Partial<View> = {}): View => ({ id, kind: 'human', isSelf: false, screenFeed: null, ...more });
const me = view('me', { isSelf: true });

it.each([
  ['nobody', [], null, null, null],
  ['oneself, when alone', [me], null, null, 'me camera'],
  ['the first of the others', [me, view('a'), view('b')], null, null, 'a camera'],
  ['who speaks', [me, view('a'), view('b')], null, 'b', 'b camera'],
  ['a screen before who speaks', [me, view('a', { screenFeed: screen }), view('b')], null, 'b', 'a screen'],
  ['not the own screen', [view('me', { isSelf: true, screenFeed: screen }), view('a')], null, null, 'a camera'],
  ['a pinned camera before a screen', [me, view('a', { screenFeed: screen }), view('b')], 'b/camera', null, 'b camera'],
  ['a pinned screen', [view('a', { screenFeed: screen }), view('b', { screenFeed: screen })], 'b/screen', null, 'b screen'],
  ['no recorder', [view('r', { kind: 'recorder' }), me], null, null, 'me camera'],
] as const)('features %s', (_, views, pinned, spotlight, wanted) => {
  const shown = featured(views, pinned, spotlight);
  expect(shown && `${shown.view.id} ${shown.source}`).toBe(wanted);
});
