import { onScopeDispose, watch } from 'vue';
import type { RecordingEnd } from '../../client';
import { t, type MessageKey } from '../i18n';
import { excerpt } from '../chat/rows';
import { say } from '../lib/say';
import type { CallContext } from './call';
import type { ToastShow } from './toast';

/** So much of an answer is read out, in characters. */
const spokenAnswer = 600;

/** What is said of a recording that nobody has stopped. */
const recordingEnds: Partial<Record<RecordingEnd, MessageKey>> = {
  'disk-full': 'announce.recordingFull', 'disk-slow': 'announce.recordingFailed', failed: 'announce.recordingFailed', 'size-limit': 'announce.recordingLong',
};

/** Tells a screen reader what sighted people see happening, and everyone what was done to them. */
export function useRoomNotices(call: CallContext, show: ToastShow): void {
  const { room } = call;
  const stops = [
    room.on('participant-joined', (participant) => {
      if (participant.kind !== 'recorder') say({ kind: 'joined', name: participant.name.value });
    }),
    room.on('participant-left', (participant) => {
      if (participant.kind !== 'recorder') say({ kind: 'left', name: participant.name.value });
    }),
    room.on('message', (message) => {
      const { author: { name }, isOwn, deleted, run, text } = message;
      if (isOwn || deleted) return;
      // An answer is heard once, when it is done, and more of it than of what people say.
      if (run) say({ kind: 'notice', text: text === '' ? t('announce.noAnswer', { name }) : t('announce.message', { name, text: excerpt(text, spokenAnswer) }) });
      else say({ kind: 'message', name, text });
    }),
    room.on('muted', ({ source }) => show(t(`announce.mutedBy.${source}`))),
  ];
  onScopeDispose(() => stops.forEach((stop) => stop()));

  watch(
    () => call.views.value.filter((view) => view.hand !== null && !view.isSelf).map((view) => view.name),
    (names, before) => {
      for (const name of names) if (!before.includes(name)) say({ kind: 'notice', text: t('announce.handOf', { name }) });
    },
  );
  watch(
    () => call.views.value.filter((view) => view.sharing && !view.isSelf).map((view) => view.name),
    (names, before) => {
      for (const name of names) if (!before.includes(name)) say({ kind: 'notice', text: t('announce.sharing', { name }) });
    },
  );
  // Everyone knows before a bot speaks, and before they speak to one that hears; those who come later, too.
  watch(
    () => [
      ...call.views.value.filter((view) => view.kind === 'bot' && view.microphone).map(({ name }) => t('announce.botSpeaks', { name })),
      ...call.hearing.value.map((name) => t('announce.botHears', { name })),
    ],
    (texts, before) => {
      for (const text of texts) if (!before?.includes(text)) show(text);
    },
    { immediate: true },
  );
  // Shown to those who come later too: everyone who is recorded is told.
  watch(
    () => call.info.value.recording,
    (recording, before) => {
      document.title = `${recording ? '● ' : ''}${room.id} · Confab`;
      if (recording) show(t('announce.recordingOn'));
      else if (before) show(t(recordingEnds[call.info.value.recordingEnded ?? 'stopped'] ?? 'announce.recordingOff'));
    },
    { immediate: true },
  );
  onScopeDispose(() => (document.title = `${room.id} · Confab`));
  watch(
    () => call.info.value.locked,
    (locked) => say({ kind: 'notice', text: locked ? t('announce.locked') : t('announce.unlocked') }),
  );
}
