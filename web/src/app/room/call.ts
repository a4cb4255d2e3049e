import { computed, inject, provide, ref, shallowRef, type ComputedRef, type InjectionKey, type Ref, type ShallowRef } from 'vue';
import type { CallStats, Chat, Client, LocalMedia, Role, Room, RoomInfo, ThreadSummary } from '../../client';
import { useReadable, useThreads } from '../../vue';
import { useRoomBots, type RoomBots } from '../bots/room';
import { rootOf } from '../chat/threads';
import { knockersOf, type Knocker } from '../door/knocks';
import { t } from '../i18n';
import { storage } from '../lib/storage';
import { useParticipantViews, type ParticipantView } from './participantViews';
import type { Pip } from './pip';
import type { Call } from './session';
import { createVolumes, type Volumes } from './volume';

export type Panel = 'chat' | 'people' | 'bots';
export type DialogName = 'invite' | 'settings' | 'help' | 'record' | 'end';
/** auto: what the number of people and shares suggests. */
export type LayoutChoice = 'auto' | 'grid' | 'speaker';

/** The thread that is open; with neither name nor `private` the list of them. */
export interface OpenThread {
  readonly name: string;
  /** The bot that a private one is with, as long as its name is not known; else empty. */
  readonly private: string;
  /** It was opened from the list: the way back leads there. */
  readonly fromList: boolean;
}

/** What names a tile, as long as its picture may come and go. */
export const tileKey = (participant: string, source: 'camera' | 'screen'): string => `${participant}/${source}`;

/** What every part of the room needs: the client's objects and the state of the view. */
export interface CallContext {
  readonly client: Client;
  readonly room: Room;
  readonly media: LocalMedia;
  readonly chat: Chat;
  readonly views: ComputedRef<readonly ParticipantView[]>;
  readonly info: Readonly<ShallowRef<RoomInfo>>;
  readonly role: Readonly<ShallowRef<Role>>;
  readonly isModerator: ComputedRef<boolean>;
  /** Who waits at the locked door; empty for all but moderators. */
  readonly knocking: ComputedRef<readonly Knocker[]>;
  /** What the button for the people is called: how many there are, and ask to come. */
  readonly peopleName: ComputedRef<string>;
  readonly panel: Ref<Panel | null>;
  readonly threads: Readonly<ShallowRef<readonly ThreadSummary[]>>;
  readonly thread: ShallowRef<OpenThread | null>;
  /** `seq` of the message whose thread was closed last: the chat shows it when it comes back. 0 = none. */
  readonly leftThread: Ref<number>;
  readonly dialog: Ref<DialogName | null>;
  readonly layout: Ref<LayoutChoice>;
  /** Key of the tile that is held large, null = none. */
  readonly pinned: Ref<string | null>;
  readonly volumes: Volumes;
  /** Where the call is shown besides this page, null = nowhere. */
  readonly pip: ShallowRef<Pip | null>;
  /** Whether the statistics are open, and their last reading, null while they are not. */
  readonly showStats: Ref<boolean>;
  readonly readings: ShallowRef<CallStats | null>;
  readonly lowBandwidth: Readonly<ShallowRef<boolean>>;
  /** Whether what is said is shown in words. */
  readonly captions: Ref<boolean>;
  /** Names of the bots that hear what people say. */
  readonly hearing: Readonly<Ref<readonly string[]>>;
  readonly bots: RoomBots;
  /** `seq` of a message that the chat shall show, 0 = none. */
  readonly pointed: Ref<number>;
  togglePanel(panel: Panel): void;
  /** Opens a thread beside the chat; an empty name is the list. */
  openThread(name: string): void;
  /** Opens the conversation with a bot that nobody else can see. */
  openPrivate(bot: string): void;
  closeThread(): void;
  /** One step: to the list if that is where it was opened, else to the chat. */
  backFromThread(): void;
}

export const isList = (open: OpenThread | null): boolean => open?.name === '' && open.private === '';

const key: InjectionKey<CallContext> = Symbol('call');

export function provideCall({ client, room }: Call): CallContext {
  const participants = useReadable(room.participants);
  const role = useReadable(room.role);
  const info = useReadable(room.info);
  const views = useParticipantViews(participants);
  const knocking = computed(() => knockersOf(role.value === 'moderator' ? info.value.knocking : []));
  const panel = ref<Panel | null>(null);
  const layout = ref<LayoutChoice>(keptLayout());
  const thread = shallowRef<OpenThread | null>(null);
  const leftThread = ref(0);
  function closeThread(): void {
    leftThread.value = rootOf(thread.value?.name ?? '');
    thread.value = null;
  }
  const context: CallContext = {
    client,
    room,
    media: room.media,
    chat: room.chat,
    views,
    info,
    role,
    isModerator: computed(() => role.value === 'moderator'),
    knocking,
    peopleName: computed(() => {
      const people = t('control.peopleCount', { count: views.value.filter((view) => view.kind === 'human').length });
      return knocking.value[0] ? `${people}. ${t('control.knocking', { count: knocking.value.length })}` : people;
    }),
    panel,
    threads: useThreads(room),
    thread,
    leftThread,
    dialog: ref(null),
    layout,
    pinned: shallowRef(null),
    volumes: createVolumes(),
    pip: shallowRef(null),
    showStats: ref(false),
    readings: shallowRef(null),
    lowBandwidth: useReadable(room.lowBandwidth),
    captions: ref(storage.get('captions') === 'on'),
    hearing: computed(() => views.value.filter(({ user }) => info.value.hearing?.some((bot) => user === `bot:${bot}`)).map(({ name }) => name)),
    bots: useRoomBots(room),
    pointed: ref(0),
    togglePanel: (wanted) => {
      panel.value = panel.value === wanted ? null : wanted;
      thread.value = null;
      leftThread.value = 0;
    },
    openThread: (name) => (thread.value = { name, private: '', fromList: name !== '' && isList(thread.value) }),
    openPrivate: (bot) => {
      panel.value = 'chat';
      thread.value = { name: '', private: bot, fromList: false };
    },
    closeThread,
    backFromThread: () => {
      if (thread.value?.fromList) thread.value = { name: '', private: '', fromList: false };
      else closeThread();
    },
  };
  provide(key, context);
  return context;
}

export function useCall(): CallContext {
  const context = inject(key);
  if (!context) throw new Error('useCall outside a room');
  return context;
}

function keptLayout(): LayoutChoice {
  const kept = storage.get('layout');
  return kept === 'grid' || kept === 'speaker' ? kept : 'auto';
}
