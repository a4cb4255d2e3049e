import type { ComputedRef, MaybeRefOrGetter } from 'vue';
import type { FeedQuality, LinkState, MediaFeed, Participant, ParticipantKind, ParticipantStatus, Role, Source } from '../../client';
import { useReadable } from '../../vue';
import { useEach } from '../lib/useEach';
import type { SoundSource } from './volume';

/** A feed that is heard. */
export type SoundFeed = MediaFeed & { readonly source: SoundSource };

const isSound = (feed: MediaFeed): feed is SoundFeed => feed.source === 'microphone' || feed.source === 'screen-audio';

/** A participant with its live values as plain reactive properties: what templates read. */
export interface ParticipantView {
  readonly participant: Participant;
  readonly id: string;
  readonly user: string;
  readonly kind: ParticipantKind;
  readonly isSelf: boolean;
  readonly joinedAt: number;
  readonly name: string;
  readonly role: Role;
  readonly status: ParticipantStatus;
  readonly link: LinkState;
  readonly microphone: boolean;
  /** Says that the camera is on; the picture may come later. */
  readonly camera: boolean;
  readonly sharing: boolean;
  readonly hand: number | null;
  readonly speaking: boolean;
  readonly cameraFeed: MediaFeed | null;
  readonly screenFeed: MediaFeed | null;
  readonly audioFeeds: readonly SoundFeed[];
  /** What the server sends us of a picture; null when it says nothing of it. */
  qualityOf(source: Source): FeedQuality | null;
}

function viewOf(participant: Participant): ParticipantView {
  const name = useReadable(participant.name);
  const role = useReadable(participant.role);
  const status = useReadable(participant.status);
  const link = useReadable(participant.link);
  const media = useReadable(participant.media);
  const hand = useReadable(participant.hand);
  const speaking = useReadable(participant.speaking);
  const feeds = useReadable(participant.feeds);
  const feed = (source: MediaFeed['source']): MediaFeed | null => feeds.value.find((one) => one.source === source) ?? null;
  const camera = useReadable(() => feed('camera')?.quality, null);
  const screen = useReadable(() => feed('screen')?.quality, null);
  return {
    participant,
    id: participant.id,
    user: participant.user,
    kind: participant.kind,
    isSelf: participant.isSelf,
    joinedAt: participant.joinedAt,
    get name() { return name.value; },
    get role() { return role.value; },
    get status() { return status.value; },
    get link() { return link.value; },
    get microphone() { return media.value.microphone; },
    get camera() { return media.value.camera; },
    get sharing() { return media.value.screen; },
    get hand() { return hand.value; },
    get speaking() { return speaking.value; },
    get cameraFeed() { return media.value.camera ? feed('camera') : null; },
    get screenFeed() { return media.value.screen ? feed('screen') : null; },
    qualityOf: (source) => (source === 'camera' ? camera.value : source === 'screen' ? screen.value : null),
    get audioFeeds() { return feeds.value.filter(isSound); },
  };
}

export function useParticipantViews(participants: MaybeRefOrGetter<readonly Participant[]>): ComputedRef<readonly ParticipantView[]> {
  return useEach(participants, (participant) => participant.id, viewOf);
}
