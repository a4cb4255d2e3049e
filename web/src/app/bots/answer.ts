/** What stands around the text of a bot's answer. */
export { default as AnswerAbove } from './AnswerAbove.vue';
export { default as AnswerBelow } from './AnswerBelow.vue';
export { default as BotWaits } from './BotWaits.vue';
