import type { RoomInfo } from '../../client';

/** One person at the door, with all tabs and devices; any of them answers for all. */
export interface Knocker {
  readonly id: string;
  readonly user: string;
  readonly name: string;
}

/** Who waits, each person once, in the order they came. */
export function knockersOf(knocking: RoomInfo['knocking']): Knocker[] {
  const byUser = new Map<string, Knocker>();
  for (const { id, user, name } of knocking ?? []) if (!byUser.has(user)) byUser.set(user, { id, user, name });
  return [...byUser.values()];
}
