import type { LocalMedia } from '../../client';

type Sink = AudioContext & { setSinkId?: (id: string) => Promise<void> };

/** Plays two soft notes on the chosen speaker: no sound file, nothing to download. */
export async function playTestSound(media: LocalMedia): Promise<void> {
  const context: Sink = new AudioContext();
  if (media.speaker.value && context.setSinkId) await context.setSinkId(media.speaker.value);
  const notes = [523.25, 659.25];
  notes.forEach((frequency, index) => {
    const start = context.currentTime + 0.05 + index * 0.28;
    const oscillator = new OscillatorNode(context, { frequency, type: 'sine' });
    const gain = new GainNode(context, { gain: 0 });
    gain.gain.linearRampToValueAtTime(0.25, start + 0.03);
    gain.gain.exponentialRampToValueAtTime(0.001, start + 0.5);
    oscillator.connect(gain).connect(context.destination);
    oscillator.start(start);
    oscillator.stop(start + 0.5);
  });
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  await context.close();
}
