/** Mentions in a text field: what is being typed, what it becomes, and whom a text names. */
export interface Mentionable {
  readonly user: string;
  readonly name: string;
}

export interface Query {
  /** Where the "@" stands. */
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** The mention that the caret stands in, null when in none. */
export function queryAt(text: string, caret: number): Query | null {
  const before = text.slice(0, caret);
  const match = /(?:^|[\s(])@([\p{L}\p{N}_.-]{0,32})$/u.exec(before);
  if (!match) return null;
  const typed = match[1] ?? '';
  return { start: caret - typed.length - 1, end: caret, text: typed };
}

/** Those whose name, or a word of it, begins with the query; none when one is typed in full already. */
export function suggestions<T extends Mentionable>(query: string, people: readonly T[], most = 6): T[] {
  const wanted = query.toLocaleLowerCase();
  const starts = (name: string): boolean => {
    const lower = name.toLocaleLowerCase();
    return lower.startsWith(wanted) || lower.split(/\s+/).some((word) => word.startsWith(wanted));
  };
  const found = people.filter((person) => starts(person.name));
  const complete = found.length === 1 && found[0]?.name.toLocaleLowerCase() === wanted;
  return complete ? [] : found.slice(0, most);
}

export function complete(text: string, query: Query, name: string): { text: string; caret: number } {
  const inserted = `@${name} `;
  return { text: text.slice(0, query.start) + inserted + text.slice(query.end).replace(/^ /, ''), caret: query.start + inserted.length };
}

/** Users whom `text` mentions by name. A longer name wins over one that begins like it. */
export function mentionedUsers(text: string, people: readonly Mentionable[]): string[] {
  let rest = text.toLocaleLowerCase();
  const found = new Set<string>();
  const boundary = /[\p{L}\p{N}_]/u;
  for (const person of [...people].sort((a, b) => b.name.length - a.name.length)) {
    const needle = `@${person.name.toLocaleLowerCase()}`;
    if (person.name === '') continue;
    for (let at = rest.indexOf(needle); at >= 0; at = rest.indexOf(needle, at + 1)) {
      if (boundary.test(rest[at - 1] ?? '') || boundary.test(rest[at + needle.length] ?? '')) continue;
      found.add(person.user);
      rest = rest.slice(0, at) + ' '.repeat(needle.length) + rest.slice(at + needle.length);
    }
  }
  return [...found];
}
