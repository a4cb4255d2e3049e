import type { ParticipantKind, Role } from '../../client';
import type { ParticipantView } from '../room/participantViews';
import type { SoundSource } from '../room/volume';

/** A person as the list shows one: all tabs and devices of a user together. */
export interface PersonEntry {
  readonly user: string;
  readonly name: string;
  readonly kind: ParticipantKind;
  readonly isSelf: boolean;
  readonly role: Role;
  /** When the first of the hands went up. */
  readonly hand: number | null;
  readonly microphone: boolean;
  readonly camera: boolean;
  readonly sharing: boolean;
  readonly speaking: boolean;
  readonly reconnecting: boolean;
  readonly participants: readonly string[];
  /** What can be heard of them, of others only. */
  readonly sounds: readonly SoundSource[];
}

type Seen = Pick<
  ParticipantView,
  'id' | 'user' | 'name' | 'kind' | 'isSelf' | 'role' | 'hand' | 'microphone' | 'camera' | 'sharing' | 'speaking' | 'status' | 'audioFeeds'
>;

/** Raised hands first in the order in which they went up, then self, then by name. */
export function personsOf(views: readonly Seen[]): PersonEntry[] {
  const byUser = new Map<string, Seen[]>();
  for (const view of views) {
    if (view.kind === 'recorder') continue;
    byUser.set(view.user, [...(byUser.get(view.user) ?? []), view]);
  }
  return [...byUser.values()].map(merge).sort(compare);
}

const sources: readonly SoundSource[] = ['microphone', 'screen-audio'];

function merge(tabs: readonly Seen[]): PersonEntry {
  const first = tabs[0] as Seen;
  const hands = tabs.flatMap((tab) => (tab.hand === null ? [] : [tab.hand]));
  return {
    user: first.user,
    name: first.name,
    kind: first.kind,
    isSelf: tabs.some((tab) => tab.isSelf),
    role: tabs.some((tab) => tab.role === 'moderator') ? 'moderator' : first.role,
    hand: hands.length > 0 ? Math.min(...hands) : null,
    microphone: tabs.some((tab) => tab.microphone),
    camera: tabs.some((tab) => tab.camera),
    sharing: tabs.some((tab) => tab.sharing),
    speaking: tabs.some((tab) => tab.speaking),
    reconnecting: tabs.every((tab) => tab.status === 'reconnecting'),
    participants: tabs.map((tab) => tab.id),
    sounds: sources.filter((source) => tabs.some((tab) => !tab.isSelf && tab.audioFeeds.some((feed) => feed.source === source))),
  };
}

function compare(a: PersonEntry, b: PersonEntry): number {
  return (
    byHand(a.hand, b.hand) || Number(b.isSelf) - Number(a.isSelf) || a.name.localeCompare(b.name)
  );
}

function byHand(a: number | null, b: number | null): number {
  if (a === b) return 0;
  if (a === null) return 1;
  return b === null ? -1 : a - b;
}
