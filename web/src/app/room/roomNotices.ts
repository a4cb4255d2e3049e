import { onScopeDispose, watch } from 'vue';
import type { RecordingEnd } from '../../client';
import { t, type MessageKey } from '../i18n';
import { say } from '../lib/say';
import type { CallContext } from './call';
import type { ToastShow } from './toast';

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
      if (!message.isOwn && !message.deleted) say({ kind: 'message', name: message.author.name, text: message.text });
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
