import { storage, tabStorage } from '../lib/storage';

/**
 * Who this browser is in a room. A guest's token is kept, so that a reload is the same person; a
 * token that was handed over lives as long as the tab.
 */
export class GuestsRefused extends Error {
  override name = 'GuestsRefused';
}
export class GuestRequestFailed extends Error {
  override name = 'GuestRequestFailed';
}

interface Guest {
  readonly name: string;
  readonly token: string;
}

function readGuest(room: string): Guest | null {
  const raw = storage.get(`guest:${room}`);
  if (raw === null) return null;
  try {
    const value = JSON.parse(raw) as Partial<Guest> | null;
    return typeof value?.name === 'string' && typeof value.token === 'string' ? { name: value.name, token: value.token } : null;
  } catch (error) {
    console.debug('a kept guest is damaged', error);
    return null;
  }
}

export const keptName = (room: string): string => readGuest(room)?.name ?? storage.get('name') ?? '';

export function givenToken(room: string): string | null {
  return tabStorage.get(`token:${room}`);
}

export function keepGivenToken(room: string, token: string): void {
  tabStorage.set(`token:${room}`, token);
}

/** Takes a token from the fragment `#token=` and removes it from the address bar and the history. */
export function takeTokenFromFragment(room: string): void {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (token === null) return;
  history.replaceState(history.state, '', location.pathname + location.search);
  if (token !== '') keepGivenToken(room, token);
}

/** The `name` a token bears, without checking it: the server does. */
export function nameInToken(token: string): string {
  try {
    const body = token.split('.')[1] ?? '';
    const bytes = Uint8Array.from(atob(body.replace(/-/g, '+').replace(/_/g, '/')), (character) => character.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes)) as { name?: unknown } | null;
    return typeof claims?.name === 'string' ? claims.name : '';
  } catch {
    // Not a JWT; the server will say so.
    return '';
  }
}

/** A guest's token for `room` under `name`: the kept one while the name is the same, else a new one. */
export async function guestToken(room: string, name: string, fresh = false): Promise<string> {
  const kept = readGuest(room);
  if (kept && kept.name === name && !fresh) return kept.token;

  const response = await fetch('/api/v1/guest', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ name, room }),
  }).catch((error: unknown) => {
    throw new GuestRequestFailed('the server cannot be reached', { cause: error });
  });
  if (response.status === 403 || response.status === 401) throw new GuestsRefused();
  if (!response.ok) throw new GuestRequestFailed(`the server answered ${response.status}`);

  const body = (await response.json()) as { token?: unknown };
  if (typeof body.token !== 'string') throw new GuestRequestFailed('the server answered without a token');
  storage.set('name', name);
  storage.set(`guest:${room}`, JSON.stringify({ name, token: body.token } satisfies Guest));
  return body.token;
}

const inCall = (room: string): string => `in-call:${room}`;
/** Set while in a room, so that a reload goes straight back into it. */
export const wasInCall = (room: string): boolean => tabStorage.get(inCall(room)) === '1';
export const setInCall = (room: string, yes: boolean): void =>
  yes ? tabStorage.set(inCall(room), '1') : tabStorage.remove(inCall(room));
