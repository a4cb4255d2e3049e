import { computed } from 'vue';
import { language } from '../i18n';

const whole = computed(() => new Intl.NumberFormat(language.value, { style: 'percent', maximumFractionDigits: 0 }));

/** 0.4 -> "40%" in the current language. */
export const percent = (ratio: number): string => whole.value.format(ratio);
