import { shallowReactive } from 'vue';
import type { Source } from '../../client';

/** What can be heard of a person. */
export type SoundSource = Extract<Source, 'microphone' | 'screen-audio'>;

export interface Volume {
  /** 0 to 100, per cent of what the element plays at most: linear in amplitude, as `HTMLMediaElement.volume` is. */
  readonly level: number;
  /** Kept apart from the level, so that unmuting brings back what was set. */
  readonly muted: boolean;
}

const full: Volume = { level: 100, muted: false };

/** How loud each person is played on this page. By user: who reconnects or opens another tab stays as loud as before. */
export interface Volumes {
  /** Reactive when called in a render or a computed. */
  of(user: string, source: SoundSource): Volume;
  /** A level above 0 unmutes: whoever moves the slider wants to hear. */
  setLevel(user: string, source: SoundSource, level: number): void;
  setMuted(user: string, source: SoundSource, muted: boolean): void;
}

export function createVolumes(): Volumes {
  const kept = shallowReactive(new Map<string, Volume>());
  const key = (user: string, source: SoundSource): string => `${source}/${user}`;
  const of: Volumes['of'] = (user, source) => kept.get(key(user, source)) ?? full;
  return {
    of,
    setLevel(user, source, wanted) {
      const level = Math.min(100, Math.max(0, Math.round(wanted)));
      kept.set(key(user, source), { level, muted: level === 0 && of(user, source).muted });
    },
    setMuted: (user, source, muted) => void kept.set(key(user, source), { level: of(user, source).level, muted }),
  };
}

export const silent = ({ level, muted }: Volume): boolean => muted || level === 0;
