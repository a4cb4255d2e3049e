import { ClientError } from '../errors';
import { Computed, Value } from '../readable';
import type { DeviceState, Devices, LocalMedia, MediaFeed, ShareOptions } from '../types';
import type { Source } from '../wire';
import { Feed, Playback } from './feed';

const off: DeviceState = { on: false, busy: false, deviceId: '', feed: null, error: null };

/** Makes the object that holds the own devices; nothing is opened before it is asked for. */
export function createLocalMedia(): LocalMedia {
  return new Local();
}

/** The part of navigator.mediaDevices that there is: none outside of a secure context. */
const mediaDevices = (): Partial<MediaDevices> | undefined =>
  globalThis.navigator?.mediaDevices;

class Local implements LocalMedia {
  readonly camera = new Value(off);
  readonly microphone = new Value(off);
  readonly screen = new Value(off);
  readonly feeds: Computed<readonly MediaFeed[]>;
  readonly devices = new Value<Devices>({ cameras: [], microphones: [], speakers: [], labelled: false });
  readonly level = new Value(0);
  readonly playback = new Playback();
  readonly supports = {
    devices: mediaDevices()?.getUserMedia !== undefined,
    share: mediaDevices()?.getDisplayMedia !== undefined,
    speaker: 'setSinkId' in (globalThis.HTMLMediaElement?.prototype ?? {}),
  };

  readonly #feeds = new Map<Source, Feed>();
  readonly #queues = new Map<Source, Promise<unknown>>();
  readonly #events = new AbortController();
  #stopMeter: () => void = () => undefined;
  #closed = false;

  constructor() {
    this.feeds = new Computed<readonly MediaFeed[]>(() => [...this.#feeds.values()]);
    const { signal } = this.#events;
    mediaDevices()?.addEventListener?.('devicechange', () => void this.refreshDevices(), { signal });
    void this.refreshDevices();
  }

  get speaker() { return this.playback.speaker; }
  get blocked() { return this.playback.blocked; }

  setCamera(on: boolean | { deviceId: string }): Promise<void> {
    return this.#inTurn('camera', () => this.#switch('camera', on));
  }

  setMicrophone(on: boolean | { deviceId: string }): Promise<void> {
    return this.#inTurn('microphone', () => this.#switch('microphone', on));
  }

  async selectDevice(kind: 'camera' | 'microphone', deviceId: string): Promise<void> {
    await this.#inTurn(kind, async () => {
      const { on, feed } = this[kind].value;
      if (on) await this.#switch(kind, { deviceId });
      else {
        // A muted microphone that is open is the wrong one now.
        if (feed) this.#release(kind);
        this[kind].patch({ deviceId, feed: null });
      }
    });
  }

  share(options: ShareOptions = {}): Promise<void> {
    return this.#inTurn('screen', () => this.#share(options));
  }

  stopShare(): void {
    this.#release('screen-audio');
    this.#off('screen');
  }

  setSpeaker(deviceId: string): Promise<void> {
    return this.playback.setSpeaker(deviceId).catch((error: unknown) => { throw ClientError.fromDevice(error); });
  }

  unblock(): Promise<void> { return this.playback.unblock(); }

  async refreshDevices(): Promise<void> {
    const list = await mediaDevices()?.enumerateDevices?.().catch(() => undefined);
    if (!list || this.#closed) return;
    // Before a permission there is one nameless entry of each kind (W3C mediacapture-main 9.2).
    const of = (kind: MediaDeviceKind): MediaDeviceInfo[] => list.filter((d) => d.kind === kind && d.deviceId !== '');
    this.devices.set({
      cameras: of('videoinput'), microphones: of('audioinput'), speakers: of('audiooutput'),
      labelled: list.some((d) => d.label !== ''),
    });
  }

  close(): void {
    this.#closed = true;
    this.#events.abort();
    this.stopShare();
    this.#off('camera');
    this.#off('microphone');
  }

  /** Changes of one source run one after the other: a second click waits for the prompt of the first. */
  #inTurn(source: Source, change: () => Promise<void>): Promise<void> {
    const run = (this.#queues.get(source) ?? Promise.resolve()).then(change, change);
    this.#queues.set(source, run.catch(() => undefined));
    return run;
  }

  async #switch(kind: 'camera' | 'microphone', on: boolean | { deviceId: string }): Promise<void> {
    const state = this[kind];
    const { feed } = state.value;
    if (on === false) {
      if (kind === 'camera') this.#off(kind);
      else {
        if (feed) feed.track.enabled = false;
        state.patch({ on: false });
      }
      return;
    }
    const deviceId = on === true ? state.value.deviceId : on.deviceId;
    if (feed && deviceId === state.value.deviceId && feed.track.readyState === 'live') {
      feed.track.enabled = true;
      state.patch({ on: true, error: null });
      return;
    }
    await this.#open(kind, deviceId);
  }

  async #open(kind: 'camera' | 'microphone', deviceId: string): Promise<void> {
    const state = this[kind];
    state.patch({ busy: true });
    try {
      const track = await capture(kind, deviceId).catch((thrown: unknown) => {
        // Phones open one camera at a time: the one in use has to go first.
        if (ClientError.fromDevice(thrown).code !== 'device-busy' || !state.value.feed) throw thrown;
        this.#off(kind);
        return capture(kind, deviceId);
      });
      if (this.#closed) {
        track.stop();
        throw new ClientError('closed');
      }
      const feed = this.#adopt(track, kind, () => {
        this.#off(kind);
        state.patch({ error: new ClientError('device-missing') });
      });
      state.patch({ on: true, busy: false, deviceId, feed, error: null });
      if (kind === 'microphone') this.#measure(feed).catch(() => undefined);
      void this.refreshDevices();
    } catch (thrown) {
      // The track of the device before, if there is one, goes on.
      this.#failed(kind, thrown);
    }
  }

  /** Loaded when there is something to measure. */
  async #measure(feed: Feed): Promise<void> {
    const { measure } = await import('./level');
    if (this.#feeds.get('microphone') === feed) this.#stopMeter = measure(feed.track, (level) => this.level.set(level));
  }

  async #share({ audio = true, hint = 'detail' }: ShareOptions): Promise<void> {
    if (this.screen.value.on) return;
    this.screen.patch({ busy: true });
    try {
      const devices = mediaDevices();
      if (!devices?.getDisplayMedia) throw new ClientError('unsupported');
      const stream = await devices.getDisplayMedia({
        video: { frameRate: { max: 30 } }, audio,
        // W3C screen-capture 5.4: let the tab be changed while sharing, keep our own tab out of the list.
        surfaceSwitching: 'include', selfBrowserSurface: 'exclude', systemAudio: audio ? 'include' : 'exclude',
      } as DisplayMediaStreamOptions);
      const [video] = stream.getVideoTracks();
      const [sound] = stream.getAudioTracks();
      if (!video || this.#closed) {
        for (const track of stream.getTracks()) track.stop();
        throw new ClientError('share-cancelled');
      }
      video.contentHint = hint;
      const feed = this.#adopt(video, 'screen', () => this.stopShare());
      if (sound) {
        sound.contentHint = 'music';
        this.#adopt(sound, 'screen-audio', () => this.#release('screen-audio'));
      }
      this.screen.patch({ on: true, busy: false, feed, error: null });
    } catch (thrown) {
      this.#failed('screen', thrown);
    }
  }

  #failed(source: 'camera' | 'microphone' | 'screen', thrown: unknown): never {
    const error = ClientError.fromDevice(thrown, source === 'screen');
    this[source].patch({ busy: false, error });
    throw error;
  }

  /** Takes a track in, in the place of the one that this source had. */
  #adopt(track: MediaStreamTrack, source: Source, ended: () => void): Feed {
    this.#release(source);
    const feed = new Feed(track, source, '', this.playback);
    this.#feeds.set(source, feed);
    this.feeds.invalidate();
    // Not fired by our own stop(): the device went, or sharing was ended in the browser's bar.
    track.addEventListener('ended', () => { if (this.#feeds.get(source) === feed) ended(); });
    return feed;
  }

  #off(source: 'camera' | 'microphone' | 'screen'): void {
    this.#release(source);
    this[source].patch({ on: false, feed: null });
  }

  #release(source: Source): void {
    const feed = this.#feeds.get(source);
    if (!feed) return;
    this.#feeds.delete(source);
    if (source === 'microphone') this.#stopMeter();
    feed.close();
    feed.track.stop();
    this.feeds.invalidate();
  }
}

/** What plays remote feeds with the speaker chosen in `media`. */
export function playbackOf(media: LocalMedia): Playback {
  return media instanceof Local ? media.playback : new Playback();
}

async function capture(kind: 'camera' | 'microphone', deviceId: string): Promise<MediaStreamTrack> {
  const devices = mediaDevices();
  if (!devices?.getUserMedia) throw new ClientError('unsupported');
  const device = deviceId === '' ? {} : { deviceId: { exact: deviceId } };
  const stream = await devices.getUserMedia(kind === 'camera'
    ? { video: { ...device, width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { max: 30 } } }
    // Browsers take out echo and noise, and level the gain, unless told not to.
    : { audio: device });
  const [track] = stream.getTracks();
  if (!track) throw new ClientError('device-missing');
  return track;
}
