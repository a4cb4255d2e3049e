import { computed } from 'vue';
import { language, t } from '../i18n';

const clock = computed(() => new Intl.DateTimeFormat(language.value, { hour: 'numeric', minute: '2-digit' }));
const full = computed(() => new Intl.DateTimeFormat(language.value, { dateStyle: 'full', timeStyle: 'short' }));
const day = computed(() => new Intl.DateTimeFormat(language.value, { weekday: 'long', day: 'numeric', month: 'long' }));
const dayWithYear = computed(() => new Intl.DateTimeFormat(language.value, { dateStyle: 'long' }));
const relative = computed(() => new Intl.RelativeTimeFormat(language.value, { numeric: 'auto' }));

export const timeOfDay = (at: number): string => clock.value.format(at);
export const fullTime = (at: number): string => full.value.format(at);

export function sameDay(a: number, b: number): boolean {
  return new Date(a).toDateString() === new Date(b).toDateString();
}

/** "Today", "Yesterday", "Monday, 3 May", "3 May 2024". */
export function dayName(at: number, now = Date.now()): string {
  if (sameDay(at, now)) return t('time.today');
  if (sameDay(at, now - 86_400_000)) return t('time.yesterday');
  const old = now - at > 300 * 86_400_000;
  return (old ? dayWithYear : day).value.format(at);
}

/** "5 minutes ago", coarse: for a list of places one was in. */
export function ago(at: number, now = Date.now()): string {
  const minutes = Math.round((at - now) / 60_000);
  if (minutes > -60) return relative.value.format(minutes, 'minute');
  const hours = Math.round(minutes / 60);
  if (hours > -24) return relative.value.format(hours, 'hour');
  return relative.value.format(Math.round(hours / 24), 'day');
}
