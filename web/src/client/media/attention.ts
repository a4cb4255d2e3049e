import type { Readable } from '../types';
import type { Source, SubscribeMedia } from '../wire';
import type { Feed } from './feed';

/** At most twice a second is anything said of one feed. */
const pauseMs = 500;
/** What cannot be seen is wanted for this long: tabs and pages are changed and changed back. */
const graceMs = 2_000;
/** A size that differs by less makes no other choice. */
const least = 0.1;
/** Of others' cameras, with low bandwidth. */
const lowWidth = 320;

interface Watched {
  readonly feed: Feed;
  readonly stop: () => void;
  /** Since when it cannot be seen; null while it can. */
  hiddenSince: number | null;
  /** What the server knows; null = nothing, all is sent. */
  told: SubscribeMedia | null;
  /** A request is under way. */
  busy: boolean;
  /** Unix ms of the last request. */
  at: number;
}

/** Tells the SFU what of the video that it could send can be seen here, and how large. */
export class Attention {
  readonly #send: (message: SubscribeMedia) => Promise<unknown>;
  readonly #lowBandwidth: Readable<boolean>;
  readonly #watched = new Map<Feed, Watched>();
  /** Elements that are, in part, inside of the window. */
  readonly #inside = new Set<Element>();
  readonly #sizes = new ResizeObserver(() => this.#look());
  readonly #places = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) this.#inside[isIntersecting ? 'add' : 'delete'](target);
    this.#look();
  });
  readonly #events = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(send: (message: SubscribeMedia) => Promise<unknown>, lowBandwidth: Readable<boolean>) {
    this.#send = send;
    this.#lowBandwidth = lowBandwidth;
    const { signal } = this.#events;
    document.addEventListener('visibilitychange', () => this.#look(), { signal });
    lowBandwidth.subscribe(() => this.#look(), { signal });
  }

  /** These feeds come through the SFU, and no others. */
  watch(feeds: ReadonlySet<Feed>): void {
    for (const [feed, { stop }] of this.#watched) {
      if (feeds.has(feed)) continue;
      stop();
      this.#watched.delete(feed);
    }
    for (const feed of feeds) if (!this.#watched.has(feed)) this.#add(feed);
    this.#look();
  }

  /** Whether the SFU is asked for pictures of that feed. */
  wants(participant: string, source: Source): boolean {
    for (const { feed, told } of this.#watched.values()) {
      if (feed.participant === participant && feed.source === source) return told?.enabled !== false;
    }
    return true;
  }

  /** Another peer of the SFU, that may know nothing. */
  forget(): void {
    for (const one of this.#watched.values()) one.told = null;
    this.#look();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#events.abort();
    this.watch(new Set());
    this.#sizes.disconnect();
    this.#places.disconnect();
  }

  #add(feed: Feed): void {
    let seen: readonly Element[] = [];
    const follow = (elements: readonly Element[]): void => {
      for (const one of seen) {
        if (elements.includes(one)) continue;
        this.#sizes.unobserve(one);
        this.#places.unobserve(one);
        this.#inside.delete(one);
      }
      for (const one of elements) {
        if (seen.includes(one)) continue;
        this.#sizes.observe(one);
        this.#places.observe(one);
      }
      seen = elements;
      this.#look();
    };
    const unsubscribe = feed.elements.subscribe(follow);
    const stop = (): void => {
      unsubscribe();
      follow([]);
    };
    this.#watched.set(feed, { feed, stop, hiddenSince: null, told: null, busy: false, at: 0 });
  }

  #canBeSeen(element: HTMLMediaElement): boolean {
    const { pictureInPictureElement, visibilityState } = element.ownerDocument;
    return pictureInPictureElement === element || (visibilityState === 'visible' && this.#inside.has(element));
  }

  /** Works out what is wanted now, says what has changed, and sees to it that it looks again when time changes it. */
  #look(): void {
    clearTimeout(this.#timer);
    const now = Date.now();
    let next = Infinity;
    for (const one of this.#watched.values()) next = Math.min(next, this.#update(one, now));
    if (next < Infinity) this.#timer = setTimeout(() => this.#look(), next - now);
  }

  /** Returns when to look again. */
  #update(one: Watched, now: number): number {
    const seen = one.feed.elements.value.filter((element) => this.#canBeSeen(element));
    if (seen.length > 0) one.hiddenSince = null;
    else one.hiddenSince ??= now;
    const grace = one.hiddenSince === null ? Infinity : one.hiddenSince + graceMs;
    // In the time of grace what was wanted before is still right.
    if (grace > now && seen.length === 0) return grace;
    const wanted = this.#wanted(one.feed, seen);
    if (one.busy || !differs(one.told, wanted)) return Infinity;
    const again = !one.told?.enabled && wanted.enabled;
    if (!again && one.at + pauseMs > now) return one.at + pauseMs;
    this.#tell(one, wanted, now);
    return Infinity;
  }

  #wanted({ participant, source }: Feed, seen: readonly HTMLMediaElement[]): SubscribeMedia {
    if (seen.length === 0) return { participant, source, enabled: false };
    const scale = globalThis.devicePixelRatio || 1;
    const of = (element: HTMLMediaElement): [number, number] => [element.clientWidth * scale, element.clientHeight * scale];
    let [width, height] = seen.map(of).reduce((a, b) => (a[0] * a[1] >= b[0] * b[1] ? a : b));
    if (this.#lowBandwidth.value && source === 'camera' && width > lowWidth) [width, height] = [lowWidth, (height * lowWidth) / width];
    return { participant, source, enabled: true, width: Math.round(width), height: Math.round(height) };
  }

  #tell(one: Watched, wanted: SubscribeMedia, now: number): void {
    one.busy = true;
    one.at = now;
    one.told = wanted;
    this.#send(wanted).catch(() => { one.told = null; }).finally(() => {
      one.busy = false;
      // What was refused is not said again before something changes.
      if (one.told) this.#look();
    });
  }
}

function differs(told: SubscribeMedia | null, wanted: SubscribeMedia): boolean {
  if (told?.enabled !== wanted.enabled) return true;
  const changed = (a = 0, b = 0): boolean => Math.abs(a - b) > least * a;
  return changed(told.width, wanted.width) || changed(told.height, wanted.height);
}
