import { defineComponent, h, type PropType } from 'vue';
import { BlockCache } from './blocks';
import { MarkdownBlock } from './MarkdownBlock';
import type { AnswerLinks } from './render';

const none: readonly string[] = [];

/** Shows `text` as markdown. With `links` it is what a bot has written. */
export const MarkdownText = defineComponent({
  name: 'MarkdownText',
  props: {
    text: { type: String, required: true },
    names: { type: Array as PropType<readonly string[]>, default: () => none },
    links: { type: Object as PropType<AnswerLinks>, default: undefined },
  },
  setup(props) {
    const cache = new BlockCache();
    return () =>
      h(
        'div',
        { class: 'space-y-2' },
        // By place alone: the block that grows is changed, not made anew with each piece.
        cache.split(props.text).map(({ raw, token }, index) => h(MarkdownBlock, { key: index, raw, token, names: props.names, links: props.links })),
      );
  },
});
