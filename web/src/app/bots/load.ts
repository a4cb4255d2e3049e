import { defineAsyncComponent } from 'vue';
import { loadTexts } from '../i18n';

/** What is seen of bots comes with the first of them. */
export const loadAnswer = async () => (await Promise.all([import('./answer'), loadTexts('bots')]))[0];

export const AnswerAbove = defineAsyncComponent(() => loadAnswer().then((module) => module.AnswerAbove));
export const AnswerBelow = defineAsyncComponent(() => loadAnswer().then((module) => module.AnswerBelow));
export const BotWaits = defineAsyncComponent(() => loadAnswer().then((module) => module.BotWaits));
export const OpenDialog = defineAsyncComponent(() => loadAnswer().then((module) => module.OpenDialog));
export const BotPanel = defineAsyncComponent(() => Promise.all([import('./BotPanel.vue'), loadTexts('bots')]).then(([module]) => module.default));
export const VoiceBadges = defineAsyncComponent(() => Promise.all([import('./VoiceBadges.vue'), loadTexts('bots')]).then(([module]) => module.default));
