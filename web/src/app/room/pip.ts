import type { CallContext } from './call';

/** The part of Document Picture-in-Picture that is used (WICG draft): a window of the page that stays above all others. */
interface DocumentPictureInPicture {
  requestWindow(options?: { width?: number; height?: number }): Promise<Window>;
}
declare global {
  interface Window {
    readonly documentPictureInPicture?: DocumentPictureInPicture;
  }
}

/**
 * The call outside of its page: with buttons in a window of its own, or, in browsers without such windows, one video
 * that the browser itself keeps above the others.
 */
export type Pip = { readonly kind: 'window'; readonly window: Window } | { readonly kind: 'video' };

const initial = { width: 420, height: 300 };

export const pipSupported = (): boolean => window.documentPictureInPicture !== undefined || document.pictureInPictureEnabled;

/**
 * Opens what this browser can, or closes what is open. Call from a click or a key: only then may a page open a window,
 * so nothing is loaded before. Rejects when the browser refuses all the same.
 */
export async function togglePip({ pip }: CallContext): Promise<void> {
  const open = pip.value;
  if (open) {
    if (open.kind === 'window') open.window.close();
    pip.value = null;
    return;
  }
  if (!window.documentPictureInPicture) {
    pip.value = { kind: 'video' };
    return;
  }
  const opened = await window.documentPictureInPicture.requestWindow(initial);
  pip.value = { kind: 'window', window: opened };
}
