/** "Ada Lovelace" -> "AL"; one letter for one word; scripts without capitals stay as they are. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : [words[0]];
  return letters.map((word) => (word ? ([...word][0] ?? '') : '')).join('').toLocaleUpperCase() || '?';
}

/** A hue that a person keeps in every room and on every device. */
export function hue(user: string): number {
  let hash = 2166136261;
  for (const character of user) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 16777619);
  // Users differ in their last characters: mixed, so that neighbours get colours far apart.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % 360;
}
