import { useEventListener } from '@vueuse/core';
import { ref, type Ref } from 'vue';
import { storage } from '../lib/storage';
import { commandOf, takesSpace, takesText } from '../lib/shortcuts';
import type { CallActions } from './actions';
import type { CallContext } from './call';
import { pipSupported } from './pip';

/** Whether letters alone are commands, and the space bar talks (WCAG 2.1.4: can be switched off). */
export const singleKeysOn = ref(storage.get('single-keys') !== 'off');

export function setSingleKeys(on: boolean): void {
  singleKeysOn.value = on;
  storage.set('single-keys', on ? 'on' : 'off');
}

/** Takes the keys of `view`: this window, or a small one that belongs to it. */
export function useKeyboard(call: CallContext, actions: CallActions, view: Window = window): { talking: Ref<boolean> } {
  const talking = ref(false);

  const stopTalking = (): void => {
    if (!talking.value) return;
    talking.value = false;
    void call.media.setMicrophone(false);
  };

  function startTalking(event: KeyboardEvent): void {
    if (call.media.microphone.value.on || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    talking.value = true;
    call.media
      .setMicrophone(true)
      // Let go while the device was opening: it must not stay open.
      .then(() => (talking.value ? undefined : call.media.setMicrophone(false)))
      .catch((error: unknown) => {
        console.debug('the microphone did not open', error);
        talking.value = false;
      });
  }

  useEventListener(view, 'keydown', (event) => {
    if (call.dialog.value !== null || event.defaultPrevented) return;
    const focused = view.document.activeElement;
    if (event.code === 'Space' && singleKeysOn.value && !takesSpace(focused)) return startTalking(event);
    const command = commandOf(
      {
        key: event.key,
        code: event.code,
        ctrlKey: event.ctrlKey,
        metaKey: event.metaKey,
        altKey: event.altKey,
        repeat: event.repeat,
        isComposing: event.isComposing,
        altGraph: event.getModifierState('AltGraph'),
      },
      { typing: takesText(focused) || focused?.closest('[role="menu"]') != null, singleKeys: singleKeysOn.value },
    );
    if (command === null) return;
    event.preventDefault();
    if (command === 'chat' || command === 'people' || command === 'bots') call.togglePanel(command);
    else if (command === 'help') call.dialog.value = 'help';
    else if (command === 'stats') call.showStats.value = !call.showStats.value;
    else if (command === 'share') {
      if (call.media.supports.share) void actions.share();
    } else if (command === 'pip') {
      if (pipSupported()) void actions.pip();
    } else void actions[command]();
  });
  useEventListener(view, 'keyup', (event) => {
    if (event.code === 'Space') stopTalking();
  });
  // The key that goes up in another window is never heard of: any way out closes the microphone.
  useEventListener(view, ['blur', 'pagehide'], stopTalking);
  useEventListener(view.document, 'visibilitychange', () => {
    if (view.document.hidden) stopTalking();
  });

  return { talking };
}
