import { toggleCamera, toggleMicrophone } from '../lobby/lobbyMedia';
import { t } from '../i18n';
import { notify } from '../lib/say';
import type { CallContext } from './call';
import { togglePip } from './pip';
import type { ToastShow } from './toast';

/** What a button, a key and a menu all do in the same way. */
export interface CallActions {
  microphone(): Promise<void>;
  camera(): Promise<void>;
  share(): Promise<void>;
  hand(): void;
  /** Shows the call in a small window above the others, or closes that. */
  pip(): Promise<void>;
}

const code = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : '');

export function useActions(call: CallContext, show: ToastShow): CallActions {
  const { media, room } = call;

  const device = async (attempt: Promise<void>, name: string): Promise<void> => {
    try {
      await attempt;
    } catch (error) {
      const reason = code(error);
      if (reason === 'share-cancelled') return;
      const key = reason === 'device-denied' ? 'device.denied' : reason === 'device-missing' ? 'device.missing' : reason === 'device-busy' ? 'device.busy' : 'device.failed';
      show(t(key, { device: name }));
    }
  };

  return {
    async microphone() {
      await device(toggleMicrophone(media), t('device.theMicrophone'));
      notify(media.microphone.value.on ? t('announce.microphoneOn') : t('announce.microphoneOff'));
    },
    async camera() {
      await device(toggleCamera(media), t('device.theCamera'));
      notify(media.camera.value.on ? t('announce.cameraOn') : t('announce.cameraOff'));
    },
    async share() {
      if (media.screen.value.on) media.stopShare();
      else await device(media.share(), t('device.theScreen'));
    },
    hand() {
      const up = room.self.value.hand.value === null;
      room.setHand(up);
      notify(up ? t('announce.handUp') : t('announce.handDown'));
    },
    async pip() {
      try {
        await togglePip(call);
      } catch (error) {
        console.debug('no small window', error);
        show(t('pip.refused'));
      }
    },
  };
}
