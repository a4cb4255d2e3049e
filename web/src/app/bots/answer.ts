/** What is seen of a bot's answer around its text, and where bots are asked. */
export { default as AnswerAbove } from './AnswerAbove.vue';
export { default as AnswerBelow } from './AnswerBelow.vue';
export { default as BotWaits } from './BotWaits.vue';
export { default as OpenDialog } from './OpenDialog.vue';
