import { list, t } from '../i18n';
import { announce, type Announcement, type Phrases } from './announcer';

const phrases: Phrases = {
  joined: (names) => t('announce.joined', { names: list(names), count: names.length }),
  left: (names) => t('announce.left', { names: list(names), count: names.length }),
  message: (name, text) => t('announce.message', { name, text }),
  messages: (count) => t('announce.messages', { count }),
};

/** Puts an announcement into the live region, in the words of the current language. */
export const say = (announcement: Announcement): void => announce(announcement, phrases);
export const notify = (text: string): void => say({ kind: 'notice', text });
