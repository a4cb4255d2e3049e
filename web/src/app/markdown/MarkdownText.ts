import { defineComponent, h, type PropType } from 'vue';
import { BlockCache } from './blocks';
import { MarkdownBlock } from './MarkdownBlock';

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
