import { computed } from 'vue';
import { language } from '../i18n';

const formats = computed(() => {
  const format = (options: Intl.NumberFormatOptions) => new Intl.NumberFormat(language.value, options);
  const unit = (name: string, maximumFractionDigits: number) => format({ style: 'unit', unit: name, unitDisplay: 'short', maximumFractionDigits });
  return {
    percent: format({ style: 'percent', maximumFractionDigits: 0 }),
    loss: format({ style: 'percent', maximumFractionDigits: 1 }),
    kilobits: unit('kilobit-per-second', 0),
    megabits: unit('megabit-per-second', 1),
    milliseconds: unit('millisecond', 0),
  };
});

/** 0.4 -> "40%" in the current language. */
export const percent = (ratio: number): string => formats.value.percent.format(ratio);
/** 0.0123 -> "1.2%": the tenths count. */
export const lossRate = (ratio: number): string => formats.value.loss.format(ratio);
export const milliseconds = (ms: number): string => formats.value.milliseconds.format(ms);
/** 340 -> "340 kb/s", 1250 -> "1.3 Mb/s". */
export const bitrate = (kbps: number): string =>
  kbps < 1000 ? formats.value.kilobits.format(kbps) : formats.value.megabits.format(kbps / 1000);
