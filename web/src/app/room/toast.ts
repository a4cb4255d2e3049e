import { ref, type Ref } from 'vue';
import { notify } from '../lib/say';

export type ToastShow = (text: string) => void;

/** One short text at a time, above the controls; the newest replaces the one before. */
export function useToast(): { text: Ref<string>; show: ToastShow; hide: () => void } {
  const text = ref('');
  let timer: ReturnType<typeof setTimeout> | undefined;
  const hide = (): void => {
    clearTimeout(timer);
    text.value = '';
  };
  return {
    text,
    hide,
    show(next) {
      clearTimeout(timer);
      text.value = next;
      notify(next);
      timer = setTimeout(hide, 8_000);
    },
  };
}
