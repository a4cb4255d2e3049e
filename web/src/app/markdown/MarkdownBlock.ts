import { defineComponent, type PropType } from 'vue';
import type { Token } from 'marked';
import { block, type AnswerLinks } from './render';

/** A finished block keeps its props, so that Vue does not render it again while the text grows. */
export const MarkdownBlock = defineComponent({
  name: 'MarkdownBlock',
  props: {
    raw: { type: String, required: true },
    token: { type: Object as PropType<Token>, required: true },
    names: { type: Array as PropType<readonly string[]>, required: true },
    links: { type: Object as PropType<AnswerLinks>, default: undefined },
  },
  setup: (props) => () => block(props.token, { names: props.names, links: props.links }),
});
