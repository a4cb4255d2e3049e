/** Which remedy to explain: the menus of browsers differ, nothing else depends on this. */
export type Browser = 'chrome' | 'firefox' | 'safari' | 'ios' | 'android';

export function browserOf(userAgent: string): Browser {
  if (/iPhone|iPad|iPod/.test(userAgent)) return 'ios';
  if (/Android/.test(userAgent)) return 'android';
  if (/Firefox\//.test(userAgent)) return 'firefox';
  if (/Safari\//.test(userAgent) && !/Chrom(e|ium)\//.test(userAgent)) return 'safari';
  return 'chrome';
}

export const isMac = (): boolean => /Mac|iPhone|iPad/.test(navigator.userAgent);
