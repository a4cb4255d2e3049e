import { shallowRef } from 'vue';
import { readJson, storage } from './storage';

export interface RecentRoom {
  readonly room: string;
  /** Unix milliseconds of the last visit. */
  readonly at: number;
}

const kept = 6;

const isRecent = (value: unknown): value is RecentRoom[] =>
  Array.isArray(value) &&
  value.every((entry: Partial<RecentRoom> | null) => typeof entry?.room === 'string' && typeof entry.at === 'number');

export const recentRooms = shallowRef<readonly RecentRoom[]>(readJson('recent', isRecent, []));

export function rememberRoom(room: string, at = Date.now()): void {
  store([{ room, at }, ...recentRooms.value.filter((entry) => entry.room !== room)].slice(0, kept));
}

export function forgetRoom(room: string): void {
  store(recentRooms.value.filter((entry) => entry.room !== room));
}

function store(rooms: readonly RecentRoom[]): void {
  recentRooms.value = rooms;
  storage.set('recent', JSON.stringify(rooms));
}
