import type { Feed } from './media/feed';
import type { Peer } from './media/peer';
import { Computed, Value } from './readable';
import type { LinkState, LocalMedia, MediaFeed, Participant, Person, Readable } from './types';
import type * as wire from './wire';

/** After a server restart the list of participants fills up over some seconds: who is missing is kept this long. */
export const absenceMs = 15_000;

type Shown = { readonly microphone: boolean; readonly camera: boolean; readonly screen: boolean };

/** One participant as the application sees it. */
export class ParticipantView implements Participant {
  readonly id: string;
  readonly user: string;
  readonly kind: wire.ParticipantKind;
  readonly joinedAt: number;
  readonly isSelf: boolean;
  readonly name = new Value('');
  readonly role = new Value<wire.Role>('member');
  readonly status = new Value<wire.ParticipantStatus>('online');
  readonly media = new Value<Shown>({ microphone: false, camera: false, screen: false });
  readonly hand = new Value<number | null>(null);
  readonly feeds: Readable<readonly MediaFeed[]>;
  readonly level: Readable<number>;
  readonly speaking = new Value(false);
  readonly link = new Value<LinkState>('none');
  /** Their connection with us, if there is one. */
  peer: Peer | null = null;
  /** What comes of them. */
  readonly remote = new Map<wire.Source, Feed>();
  readonly #changed: () => void = () => undefined;

  constructor(p: wire.Participant, own: LocalMedia | null) {
    this.id = p.id;
    this.user = p.user;
    this.kind = p.kind;
    this.joinedAt = p.joinedAt;
    this.isSelf = own !== null;
    if (own) {
      this.feeds = own.feeds;
      this.level = own.level;
    } else {
      const feeds = new Computed<readonly MediaFeed[]>(() => [...this.remote.values()].filter((f) => this.#shows(f.source)));
      this.feeds = feeds;
      this.level = new Value(0);
      this.#changed = feeds.invalidate;
    }
    this.update(p);
  }

  update(p: wire.Participant): void {
    this.name.set(p.name);
    this.role.set(p.role);
    this.status.set(p.status);
    this.setMedia(p.media);
  }

  setMedia({ microphone, camera, screen, hand }: wire.MediaState): void {
    this.media.patch({ microphone, camera, screen });
    if (hand !== (this.hand.value !== null)) this.hand.set(hand ? Date.now() : null);
    this.#changed();
  }

  /** The call has, or no longer has, a track of that source. */
  setFeed(source: wire.Source, feed: Feed | null): void {
    if (feed) this.remote.set(source, feed);
    else this.remote.delete(source);
    this.#changed();
  }

  setLevel(level: number): void {
    (this.level as Value<number>).set(level);
  }

  /** A switched-off camera leaves its track behind, frozen: it is not shown. */
  #shows(source: wire.Source): boolean {
    if (source === 'microphone') return true;
    return source === 'camera' ? this.media.value.camera : this.media.value.screen;
  }
}

const byTime = (a: Participant, b: Participant): number => a.joinedAt - b.joinedAt || (a.id < b.id ? -1 : 1);

/** Who is in the room. */
export class Roster {
  readonly participants: Computed<readonly ParticipantView[]>;
  readonly people: Computed<readonly Person[]>;
  readonly #media: LocalMedia;
  readonly #byId = new Map<string, ParticipantView>();
  readonly #absent = new Map<string, ReturnType<typeof setTimeout>>();
  /** Ids that we ourselves had before a session that could not be resumed. */
  readonly #former = new Set<string>();
  readonly #left: (view: ParticipantView) => void;
  #self = '';

  /** `left` is told of everyone who goes, but not of ourselves. */
  constructor(media: LocalMedia, left: (view: ParticipantView) => void) {
    this.#media = media;
    this.#left = left;
    this.participants = new Computed<readonly ParticipantView[]>(() => [...this.#byId.values()].sort(byTime));
    this.people = new Computed<readonly Person[]>(() => this.#merge());
  }

  get(id: string | undefined): ParticipantView | undefined {
    return this.#byId.get(id ?? '');
  }

  /** The list of a `joined`. Who was here and is not in it gets some time to come back. */
  reset(self: wire.Participant, list: readonly wire.Participant[]): ParticipantView {
    if (this.#self !== self.id) {
      if (this.#self !== '') this.#former.add(this.#self);
      this.#byId.delete(this.#self);
      this.#self = self.id;
    }
    for (const p of [self, ...list]) this.upsert(p);
    const present = new Set(list.map((p) => p.id)).add(self.id);
    for (const view of this.#byId.values()) if (!present.has(view.id)) this.#miss(view);
    this.#invalidate();
    return this.#byId.get(self.id) as ParticipantView;
  }

  /** Returns the view if it is a new one. */
  upsert(p: wire.Participant): ParticipantView | null {
    if (this.#former.has(p.id)) return null;
    clearTimeout(this.#absent.get(p.id));
    this.#absent.delete(p.id);
    this.#invalidate();
    const known = this.#byId.get(p.id);
    if (known) {
      known.update(p);
      return null;
    }
    const view = new ParticipantView(p, p.id === this.#self ? this.#media : null);
    this.#byId.set(p.id, view);
    return view;
  }

  remove(id: string): void {
    clearTimeout(this.#absent.get(id));
    this.#absent.delete(id);
    this.#former.delete(id);
    const view = this.#byId.get(id);
    if (!view || id === this.#self) return;
    this.#byId.delete(id);
    this.#invalidate();
    this.#left(view);
  }

  close(): void {
    for (const timer of this.#absent.values()) clearTimeout(timer);
  }

  #miss(view: ParticipantView): void {
    if (this.#absent.has(view.id)) return;
    view.status.set('reconnecting');
    this.#absent.set(view.id, setTimeout(() => this.remove(view.id), absenceMs));
  }

  #invalidate(): void {
    this.participants.invalidate();
    this.people.invalidate();
  }

  #merge(): Person[] {
    const byUser = new Map<string, ParticipantView[]>();
    for (const view of this.participants.value) byUser.set(view.user, [...(byUser.get(view.user) ?? []), view]);
    return [...byUser].map(([user, participants]) => {
      const last = participants.at(-1) as ParticipantView;
      return { user, participants, name: last.name.value, kind: last.kind, isSelf: participants.some((p) => p.isSelf) };
    });
  }
}
