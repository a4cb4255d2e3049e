import { defineComponent, h, type PropType } from 'vue';
import type { Token } from 'marked';
import { BlockCache } from './blocks';
import { block } from './render';

/** A finished block keeps its props, so that Vue does not render it again while the text grows. */
const MarkdownBlock = defineComponent({
  name: 'MarkdownBlock',
  props: {
    raw: { type: String, required: true },
    token: { type: Object as PropType<Token>, required: true },
    names: { type: Array as PropType<readonly string[]>, required: true },
  },
  setup: (props) => () => block(props.token, { names: props.names }),
});

const none: readonly string[] = [];

/** Shows `text` as markdown. */
export const MarkdownText = defineComponent({
  name: 'MarkdownText',
  props: {
    text: { type: String, required: true },
    names: { type: Array as PropType<readonly string[]>, default: () => none },
  },
  setup(props) {
    const cache = new BlockCache();
    return () =>
      h(
        'div',
        { class: 'space-y-2' },
        cache.split(props.text).map(({ raw, token }, index) => h(MarkdownBlock, { key: `${index}:${raw.length}`, raw, token, names: props.names })),
      );
  },
});
