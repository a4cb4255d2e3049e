import { onScopeDispose, shallowRef, watch, type ShallowRef } from 'vue';
import { createClient, type Client, type ErrorCode, type LocalMedia, type RemovedReason, type Room } from '../../client';
import { rememberRoom } from '../lib/recentRooms';
import { tabStorage } from '../lib/storage';
import { givenToken, guestToken, GuestRequestFailed, GuestsRefused, setInCall } from './identity';

/** Why one is not in the room. `guests-refused` and `guest-failed` arise before any connection, `nobody`: nobody has answered a knock. */
export type Failure = ErrorCode | 'guests-refused' | 'guest-failed' | 'nobody';
export type Ending = RemovedReason | 'left' | 'replaced' | 'lost';

export interface Call {
  readonly client: Client;
  readonly room: Room;
}

export type Phase =
  | { readonly name: 'lobby'; readonly failure: Failure | null }
  | { readonly name: 'joining'; readonly knocking: boolean }
  | { readonly name: 'room'; readonly call: Call }
  | { readonly name: 'ended'; readonly ending: Ending; readonly text: string };

export interface Session {
  readonly phase: Readonly<ShallowRef<Phase>>;
  /** After a failure that says so, asks to be let in. */
  join(name: string): Promise<void>;
  /** Ends the waiting at the door. */
  cancel(): void;
  leave(): Promise<void>;
  backToLobby(): void;
}

const errorCode = (error: unknown): ErrorCode =>
  error instanceof Error && 'code' in error ? (error.code as ErrorCode) : 'internal';

/** After these one has to be let in. */
export const atDoor = (failure: Failure | null): boolean => failure === 'room-locked' || failure === 'denied' || failure === 'nobody';

/** One room as one person sees it, from the lobby to the end. */
export function useSession(roomId: string, media: LocalMedia): Session {
  const phase = shallowRef<Phase>({ name: 'lobby', failure: null });
  const outboxKey = `outbox:${roomId}`;
  let client: Client | null = null;
  let waiting = new AbortController();

  const drop = (): void => {
    client?.close();
    client = null;
  };

  async function token(name: string, fresh: boolean): Promise<string> {
    return givenToken(roomId) ?? (await guestToken(roomId, name, fresh));
  }

  async function join(name: string): Promise<void> {
    const knock = phase.value.name === 'lobby' && atDoor(phase.value.failure);
    const { signal } = (waiting = new AbortController());
    phase.value = { name: 'joining', knocking: knock };
    drop();
    try {
      // Asked for before connecting: a refusal is then an answer to the person, not a retry.
      await token(name, false);
      const made = createClient({
        url: '/ws',
        token: ({ reason }) => token(name, reason === 'unauthorized' || reason === 'expired'),
        outbox: { store: { load: () => tabStorage.get(outboxKey), save: (value) => tabStorage.set(outboxKey, value) } },
        name: 'confab-web',
      });
      client = made;
      const room = await made.join(roomId, { media, knock, signal });
      if (client !== made) return;
      setInCall(roomId, true);
      rememberRoom(roomId);
      phase.value = { name: 'room', call: { client: made, room } };
    } catch (error) {
      drop();
      setInCall(roomId, false);
      const failure = failureOf(error);
      phase.value = { name: 'lobby', failure: signal.aborted ? 'room-locked' : knock && failure === 'timeout' ? 'nobody' : failure };
    }
  }

  function end(ending: Ending, text = ''): void {
    setInCall(roomId, false);
    media.stopShare();
    drop();
    phase.value = { name: 'ended', ending, text };
  }

  async function leave(): Promise<void> {
    const current = phase.value;
    if (current.name !== 'room') return;
    await current.call.room.leave();
    end('left');
  }

  watch(phase, (current, _, onCleanup) => {
    if (current.name !== 'room') return;
    const { client: live, room } = current.call;
    const stops = [
      room.removed.subscribe((removed) => removed && end(removed.reason, removed.text)),
      live.state.subscribe((state) => {
        if (state !== 'closed' || room.removed.value) return;
        const code = live.error.value?.code;
        if (code === 'closed') return;
        const known = code === 'kicked' || code === 'banned' || code === 'ended' || code === 'denied' || code === 'replaced';
        end(known ? code : 'lost');
      }),
    ];
    onCleanup(() => stops.forEach((stop) => stop()));
  });

  onScopeDispose(drop);

  return {
    phase,
    join,
    cancel: () => waiting.abort(),
    leave,
    backToLobby: () => (phase.value = { name: 'lobby', failure: null }),
  };
}

function failureOf(error: unknown): Failure {
  if (error instanceof GuestsRefused) return 'guests-refused';
  if (error instanceof GuestRequestFailed) return 'guest-failed';
  return errorCode(error);
}

