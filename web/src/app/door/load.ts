import { defineAsyncComponent } from 'vue';
import { loadTexts } from '../i18n';

/** What is seen of a locked door comes when somebody stands before it. */
const withTexts = <T>(module: Promise<{ default: T }>): Promise<T> => Promise.all([module, loadTexts('door')]).then(([loaded]) => loaded.default);

export const WaitingCard = defineAsyncComponent(() => withTexts(import('./WaitingCard.vue')));
export const DoorCard = defineAsyncComponent(() => withTexts(import('./DoorCard.vue')));
