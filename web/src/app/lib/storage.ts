/**
 * What the app remembers on this device. Storage can be forbidden or full; the app then works
 * without a memory, so every failure reads as "nothing kept".
 */
interface Store {
  get(key: string): string | null;
  set(key: string, value: string): void;
  remove(key: string): void;
}

const prefix = 'confab:';

function guarded(area: () => Storage): Store {
  const attempt = <T>(action: (store: Storage) => T): T | null => {
    try {
      return action(area());
    } catch (error) {
      console.debug('storage is not available', error);
      return null;
    }
  };
  return {
    get: (key) => attempt((store) => store.getItem(prefix + key)),
    set: (key, value) => void attempt((store) => store.setItem(prefix + key, value)),
    remove: (key) => void attempt((store) => store.removeItem(prefix + key)),
  };
}

/** Kept until cleared. */
export const storage = guarded(() => localStorage);
/** Kept for this tab, over reloads. */
export const tabStorage = guarded(() => sessionStorage);

/** Reads a JSON value that `is` accepts, else the fallback: what was kept may be of an older version. */
export function readJson<T>(key: string, is: (value: unknown) => value is T, fallback: T): T {
  const raw = storage.get(key);
  if (raw === null) return fallback;
  try {
    const value: unknown = JSON.parse(raw);
    return is(value) ? value : fallback;
  } catch (error) {
    console.debug('a kept value is damaged', key, error);
    return fallback;
  }
}
