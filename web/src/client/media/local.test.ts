import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeStream, FakeTrack } from '../testing/peer-connection';
import { createLocalMedia } from './local';
import { MediaStateSync } from './state';
import type { LocalMedia } from '../types';
import type { MediaState } from '../wire';

const named = (name: string, message = name): Error => Object.assign(new Error(message), { name });
let devices: EventTarget & { getUserMedia: ReturnType<typeof vi.fn>; getDisplayMedia: ReturnType<typeof vi.fn>; enumerateDevices: ReturnType<typeof vi.fn> };
let media: LocalMedia;
const track = () => media.camera.value.feed?.track as unknown as FakeTrack;

beforeEach(() => {
  devices = Object.assign(new EventTarget(), {
    getUserMedia: vi.fn(async (c: MediaStreamConstraints) => new FakeStream([new FakeTrack(c.video ? 'video' : 'audio')])),
    getDisplayMedia: vi.fn(async () => new FakeStream([new FakeTrack('video'), new FakeTrack('audio')])),
    enumerateDevices: vi.fn(async () => [
      { kind: 'videoinput', deviceId: 'c1', label: '' }, { kind: 'audioinput', deviceId: '', label: '' },
    ]),
  });
  vi.stubGlobal('navigator', { mediaDevices: devices });
  vi.stubGlobal('MediaStream', FakeStream);
  media = createLocalMedia();
});
afterEach(() => {
  media.close();
  vi.unstubAllGlobals();
});

describe('camera and microphone', () => {
  it('open nothing before they are asked', () => {
    expect(devices.getUserMedia).not.toHaveBeenCalled();
    expect(media.feeds.value).toEqual([]);
  });

  it('camera off stops the track, so that the light goes out', async () => {
    await media.setCamera(true);
    const first = track();
    expect(media.camera.value).toMatchObject({ on: true, busy: false, error: null });
    await media.setCamera(false);
    expect(first.readyState).toBe('ended');
    expect(media.camera.value).toMatchObject({ on: false, feed: null });
    expect(media.feeds.value).toEqual([]);
  });

  it('microphone off mutes and on unmutes the same track', async () => {
    await media.setMicrophone(true);
    const opened = media.microphone.value.feed?.track;
    await media.setMicrophone(false);
    expect(opened).toMatchObject({ enabled: false, readyState: 'live' });
    await media.setMicrophone(true);
    expect(media.microphone.value.feed?.track).toBe(opened);
    expect(opened?.enabled).toBe(true);
    expect(devices.getUserMedia).toHaveBeenCalledTimes(1);
  });

  it.each([
    ['NotAllowedError', 'device-denied', false], ['NotFoundError', 'device-missing', false], ['OverconstrainedError', 'device-missing', false],
    ['NotReadableError', 'device-busy', true], ['TypeError', 'unsupported', false],
  ])('%s is %s', async (name, code, retryable) => {
    devices.getUserMedia.mockRejectedValueOnce(named(name));
    await expect(media.setCamera(true)).rejects.toMatchObject({ code, retryable, hint: expect.any(String) });
    expect(media.camera.value).toMatchObject({ on: false, busy: false, error: { code } });
    await media.setCamera(true);
    expect(media.camera.value).toMatchObject({ on: true, error: null });
  });

  it('says unsupported where the page has no access at all', async () => {
    vi.stubGlobal('navigator', {});
    const none = createLocalMedia();
    expect(none.supports).toEqual({ devices: false, share: false, speaker: false });
    await expect(none.setMicrophone(true)).rejects.toMatchObject({ code: 'unsupported' });
    none.close();
  });

  it('a change of device keeps the old one until the new one is there', async () => {
    await media.setCamera(true);
    const first = track();
    devices.getUserMedia.mockRejectedValueOnce(named('NotFoundError'));
    await expect(media.selectDevice('camera', 'gone')).rejects.toMatchObject({ code: 'device-missing' });
    expect(track()).toBe(first);
    await media.selectDevice('camera', 'c2');
    expect(devices.getUserMedia).toHaveBeenLastCalledWith({ video: expect.objectContaining({ deviceId: { exact: 'c2' } }) });
    expect(first.readyState).toBe('ended');
    expect(media.camera.value).toMatchObject({ on: true, deviceId: 'c2' });
  });

  it('gives up the old camera where only one can be open', async () => {
    await media.setCamera(true);
    const first = track();
    devices.getUserMedia.mockRejectedValueOnce(named('NotReadableError'));
    await media.setCamera({ deviceId: 'back' });
    expect(first.readyState).toBe('ended');
    expect(media.camera.value).toMatchObject({ on: true, deviceId: 'back' });
  });

  it('changes run in turn, and the last one counts', async () => {
    await Promise.all([media.setCamera(true), media.setCamera(false), media.setCamera(true), media.setCamera(false)]);
    expect(media.camera.value.on).toBe(false);
    expect(media.feeds.value).toEqual([]);
  });

  it('a device that is pulled out switches off with a reason', async () => {
    await media.setCamera(true);
    track().dispatchEvent(new Event('ended'));
    expect(media.camera.value).toMatchObject({ on: false, feed: null, error: { code: 'device-missing' } });
  });

  it('lists devices again as they change', async () => {
    await vi.waitFor(() => expect(media.devices.value.cameras).toHaveLength(1));
    expect(media.devices.value).toMatchObject({ microphones: [], labelled: false });
    devices.enumerateDevices.mockResolvedValue([{ kind: 'audiooutput', deviceId: 's', label: 'Loud' }]);
    devices.dispatchEvent(new Event('devicechange'));
    await vi.waitFor(() => expect(media.devices.value).toMatchObject({ cameras: [], speakers: [{ deviceId: 's' }], labelled: true }));
  });

  it('close stops all, also what is still being opened', async () => {
    await media.setMicrophone(true);
    const opened = media.microphone.value.feed?.track;
    const late = media.setCamera(true).catch((e: unknown) => e);
    media.close();
    expect(await late).toMatchObject({ code: 'closed' });
    expect(opened?.readyState).toBe('ended');
  });
});

describe('sharing', () => {
  it('asks for a stable choice, marks text as such, and can be ended in the browser\'s bar', async () => {
    await media.share();
    expect(devices.getDisplayMedia).toHaveBeenCalledWith(expect.objectContaining({
      audio: true, surfaceSwitching: 'include', selfBrowserSurface: 'exclude', systemAudio: 'include',
    }));
    expect(media.feeds.value.map((f) => f.source)).toEqual(['screen', 'screen-audio']);
    const screen = media.screen.value.feed?.track;
    expect(screen?.contentHint).toBe('detail');
    screen?.dispatchEvent(new Event('ended'));
    expect(media.screen.value.on).toBe(false);
    expect(media.feeds.value).toEqual([]);
  });

  it.each([['Permission denied', 'share-cancelled'], ['Permission denied by system', 'device-denied']])('%s is %s, and it can be tried again', async (message, code) => {
    devices.getDisplayMedia.mockRejectedValueOnce(named('NotAllowedError', message));
    await expect(media.share()).rejects.toMatchObject({ code });
    await media.share({ audio: false, hint: 'motion' });
    expect(media.screen.value).toMatchObject({ on: true, error: null });
  });
});

describe('what the server is told', () => {
  const all = (change: Partial<MediaState> = {}): MediaState => ({ microphone: false, camera: false, screen: false, hand: false, ...change });

  it('one state at a time, the newest last', async () => {
    const sent: MediaState[] = [];
    let answer: () => void = () => undefined;
    const sync = new MediaStateSync(media, (s) => new Promise<void>((resolve) => { sent.push(s); answer = resolve; }));
    sync.joined(all());
    sync.setHand(true);
    await media.setCamera(true);
    sync.setHand(false);
    expect(sent).toEqual([all({ hand: true })]);
    answer();
    await vi.waitFor(() => expect(sent).toEqual([all({ hand: true }), all({ camera: true })]));
    sync.close();
  });

  it('a mute by a moderator is done here; an echo that is older than our word is not', async () => {
    let answer: () => void = () => undefined;
    const sync = new MediaStateSync(media, () => new Promise<void>((resolve) => { answer = resolve; }));
    sync.joined(all());
    await media.setMicrophone(true);
    expect(sync.imposed(all())).toEqual([]);
    expect(media.microphone.value.on).toBe(true);
    answer();
    await Promise.resolve().then(() => Promise.resolve()).then(() => Promise.resolve());
    expect(sync.imposed(all())).toEqual(['microphone']);
    await vi.waitFor(() => expect(media.microphone.value.on).toBe(false));
    sync.close();
  });
});
