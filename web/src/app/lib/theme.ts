import { shallowRef } from 'vue';
import { storage } from './storage';

export type Theme = 'system' | 'light' | 'dark';

function kept(): Theme {
  const value = storage.get('theme');
  return value === 'light' || value === 'dark' ? value : 'system';
}

export const theme = shallowRef<Theme>(kept());

/** Applies a theme and keeps it; public/theme.js applies it before the first paint of the next visit. */
export function setTheme(next: Theme): void {
  theme.value = next;
  if (next === 'system') {
    delete document.documentElement.dataset.theme;
    storage.remove('theme');
    return;
  }
  document.documentElement.dataset.theme = next;
  storage.set('theme', next);
}
