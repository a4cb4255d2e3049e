import { onScopeDispose } from 'vue';
import type { LocalMedia } from '../../client';
import { storage } from '../lib/storage';

export interface LobbyMedia {
  /** Settles when the devices that were on the last time are open, or were refused. */
  readonly ready: Promise<void>;
  toggleMicrophone(): Promise<void>;
  toggleCamera(): Promise<void>;
}

const wanted = (kind: 'microphone' | 'camera', otherwise: boolean): boolean => {
  const kept = storage.get(kind);
  return kept === null ? otherwise : kept === 'on';
};

/**
 * Switches own devices and keeps the choice. Failures stand in the device's state, where the view
 * explains them; there is nothing more to do with them here.
 */
export function useLobbyMedia(media: LocalMedia): LobbyMedia {
  const quietly = (attempt: Promise<void>): Promise<void> =>
    attempt.catch((error: unknown) => console.debug('a device did not open', error));

  async function open(): Promise<void> {
    if (!media.supports.devices) return;
    // Chosen devices first: opening the default one and then changing it would blink.
    await Promise.all(
      (['microphone', 'camera'] as const).map((kind) => {
        const device = storage.get(`${kind}-device`);
        return device ? quietly(media.selectDevice(kind, device)) : undefined;
      }),
    );
    const speaker = storage.get('speaker-device');
    if (speaker && media.supports.speaker) await quietly(media.setSpeaker(speaker));
    // One after the other: two prompts at once confuse, and some browsers drop the second.
    if (wanted('microphone', true)) await quietly(media.setMicrophone(true));
    if (wanted('camera', false)) await quietly(media.setCamera(true));
  }

  const stops = [
    media.microphone.subscribe(({ deviceId }) => deviceId && storage.set('microphone-device', deviceId)),
    media.camera.subscribe(({ deviceId }) => deviceId && storage.set('camera-device', deviceId)),
    media.speaker.subscribe((deviceId) => deviceId && storage.set('speaker-device', deviceId)),
  ];
  onScopeDispose(() => stops.forEach((stop) => stop()));

  return {
    ready: open(),
    toggleMicrophone: () => toggleMicrophone(media).catch((error: unknown) => console.debug('the microphone did not open', error)),
    toggleCamera: () => toggleCamera(media).catch((error: unknown) => console.debug('the camera did not open', error)),
  };
}

export async function toggleMicrophone(media: LocalMedia): Promise<void> {
  const on = !media.microphone.value.on;
  storage.set('microphone', on ? 'on' : 'off');
  await media.setMicrophone(on);
}

export async function toggleCamera(media: LocalMedia): Promise<void> {
  const on = !media.camera.value.on;
  storage.set('camera', on ? 'on' : 'off');
  await media.setCamera(on);
}
