import { chromium, type Browser } from 'playwright-core';

const executablePath = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';

/** Five fake cameras, of which the second (`fake_device_1`) delivers no frames; slow, so that many fit a small machine. */
const fakeDevices = ['--use-fake-device-for-media-stream=device-count=5,fps=10', '--use-fake-ui-for-media-stream'];

export type Devices =
  /** Cameras, microphones and a screen that need no permission. */
  | 'fake'
  /** None, as on many desktop machines. */
  | 'none'
  /** They exist, and the person refuses them. */
  | 'denied';

const flags: Record<Devices, readonly string[]> = {
  fake: fakeDevices,
  none: [],
  denied: ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream=deny'],
};

export function launchChromium(devices: Devices): Promise<Browser> {
  return chromium.launch({
    executablePath,
    headless: true,
    args: [
      ...flags[devices],
      '--autoplay-policy=no-user-gesture-required',
      // Pages of the other participants are in the background all the time.
      '--disable-background-media-suspend',
    ],
  });
}
